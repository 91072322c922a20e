//! The data folder: one fleet at a time, and nothing left running by one that was killed.

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::name::Name;

/// What people said of themselves is in these folders, also in files of the broker's own making.
const OWNER_ONLY: u32 = 0o700;

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot use the data folder {}; --data chooses another", folder.display())]
    Unusable { folder: PathBuf, source: io::Error },
    #[error("a fleet is running on {}; `fleet down` stops it", .0.display())]
    Busy(PathBuf),
    #[error("process {pid}, left behind by an earlier fleet as {name}, cannot be stopped")]
    Leftover { name: Name, pid: i32, source: Option<Errno> },
}

/// The folder, held as long as this lives.
pub struct Folder {
    pub path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder where it is missing and takes it.
    pub fn take(folder: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { folder: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(folder).map_err(unusable)?;
        let path = folder.canonicalize().map_err(unusable)?;
        let lock = File::options().create(true).append(true).open(path.join("fleet.lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, lock }),
            Err(TryLockError::WouldBlock) => Err(FolderError::Busy(path)),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// A folder for each process.
    pub fn prepare(&self, names: impl Iterator<Item = Name>) -> Result<(), FolderError> {
        for name in names {
            let folder = self.path.join(name.as_str());
            fs::create_dir_all(&folder)
                .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(OWNER_ONLY)))
                .map_err(|source| FolderError::Unusable { folder, source })?;
        }
        Ok(())
    }

    /// Stops what a killed fleet left running, and says which.
    pub fn stop_leftovers(&self) -> Result<Vec<(Name, i32)>, FolderError> {
        let mut stopped = Vec::new();
        for name in Name::STOP_ORDER.into_iter().flatten().copied() {
            let file = pid_file(&self.path.join(name.as_str()), name);
            let Some(pid) = still_running(&file) else {
                continue;
            };
            stop(pid).map_err(|source| FolderError::Leftover { name, pid, source })?;
            stopped.push((name, pid));
        }
        Ok(stopped)
    }

    /// Deletes everything but the lock that is being held.
    pub fn empty(&self) -> Result<(), FolderError> {
        let unusable = |source| FolderError::Unusable { folder: self.path.clone(), source };
        for entry in fs::read_dir(&self.path).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            let is_folder = entry.file_type().map_err(unusable)?.is_dir();
            let removed = match is_folder {
                true => fs::remove_dir_all(entry.path()),
                false if entry.file_name() == "fleet.lock" => Ok(()),
                false => fs::remove_file(entry.path()),
            };
            removed.map_err(unusable)?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    /// Closing the file would leave the lock with a child that is between its fork and its exec and has the file too.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            eprintln!("the data folder {} stays locked until this process ends: {error}", self.path.display());
        }
    }
}

pub fn pid_file(folder: &Path, name: Name) -> PathBuf {
    folder.join(format!("{name}.pid"))
}

/// Notes a process with the moment of its start, so that no stranger who got its number later is taken for it.
pub fn note_pid(file: &Path, pid: u32) -> io::Result<()> {
    let started = started(pid as i32).unwrap_or_default();
    fs::write(file, format!("{pid} {started}\n"))
}

fn still_running(file: &Path) -> Option<i32> {
    let text = fs::read_to_string(file).ok()?;
    let (pid, noted) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    let running = started(pid)?;
    (running.to_string() == noted).then_some(pid)
}

/// When the process started, in clock ticks since boot; none when there is no such process or only its remains.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; the columns are counted after it.
    let mut columns = stat.rsplit_once(')')?.1.split_whitespace();
    let state = columns.next()?;
    if state == "Z" {
        return None;
    }
    columns.nth(18)?.parse().ok()
}

/// First politely, then not.
fn stop(pid: i32) -> Result<(), Option<Errno>> {
    for (signal, patience) in [(Signal::SIGTERM, 25), (Signal::SIGKILL, 5)] {
        match kill(Pid::from_raw(pid), signal) {
            Err(Errno::ESRCH) => return Ok(()),
            result => result?,
        }
        let deadline = Instant::now() + Duration::from_secs(patience);
        while Instant::now() < deadline {
            if started(pid).is_none() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Err(None)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::testing::scratch;

    #[test]
    fn a_folder_is_taken_by_one_fleet_at_a_time() {
        let path = scratch("taken");
        let first = Folder::take(&path).expect("the folder");
        assert!(matches!(Folder::take(&path), Err(FolderError::Busy(_))));
        drop(first);
        Folder::take(&path).expect("the folder again");
    }

    #[test]
    fn nobody_but_the_owner_looks_into_the_folder_of_a_process() {
        let folder = Folder::take(&scratch("private")).expect("the folder");
        fs::create_dir_all(folder.path.join("kafka")).expect("a folder of an earlier fleet");
        folder.prepare([Name::Kafka, Name::Notice].into_iter()).expect("folders");
        for name in ["kafka", "notice"] {
            let mode = fs::metadata(folder.path.join(name)).expect("the folder").permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{name}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_with_the_flag_that_changes_it() {
        let Err(error) = Folder::take(Path::new("/proc/none")) else {
            panic!("there is no such folder");
        };
        assert!(error.to_string().contains("--data"), "{error}");
    }

    #[test]
    fn what_a_killed_fleet_left_running_is_stopped() {
        let folder = Folder::take(&scratch("leftover")).expect("the folder");
        folder.prepare([Name::Notice].into_iter()).expect("folders");
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        let file = pid_file(&folder.path.join("notice"), Name::Notice);
        note_pid(&file, child.id()).expect("a pid file");

        let stopped = folder.stop_leftovers().expect("stopped");

        assert_eq!(stopped, [(Name::Notice, child.id() as i32)]);
        assert!(!child.wait().expect("its end").success());
        assert_eq!(folder.stop_leftovers().expect("nothing left"), []);
    }

    #[test]
    fn a_stranger_with_the_number_of_a_dead_process_is_left_alone() {
        let folder = Folder::take(&scratch("stranger")).expect("the folder");
        folder.prepare([Name::Notice].into_iter()).expect("folders");
        let file = pid_file(&folder.path.join("notice"), Name::Notice);
        fs::write(&file, format!("{} 12345", std::process::id())).expect("a pid file");
        assert_eq!(folder.stop_leftovers().expect("nothing left"), []);
    }
}
