//! The file of users and clients: read anew when it changes, written whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chassis::{Lifecycle, SettingError};

use crate::directory::Directory;

/// How long a change of the file takes to be seen.
const CHECK_EVERY: Duration = Duration::from_secs(2);
const HEAD: &str = "# Written by `oauth add-user` and `oauth add-client`; comments are not kept.\n\n";

/// The directory as the file last had it in good order.
#[derive(Clone)]
pub struct UsersFile {
    inner: Arc<Inner>,
}

struct Inner {
    path: Option<PathBuf>,
    current: RwLock<Arc<Directory>>,
    /// What the file looked like when it was last read.
    seen: Mutex<Option<Stamp>>,
}

/// Changes whenever the file is replaced or written.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { inode: found.ino(), length: found.len(), modified: (found.mtime(), found.mtime_nsec()) })
    }
}

impl UsersFile {
    /// Reads the file of the setting `users.file`; without one there is nobody.
    pub fn open(setting: &str) -> Result<Self, SettingError> {
        if setting.is_empty() {
            tracing::warn!("users.file (USERS_FILE) is not set: there are no users and no clients");
            return Ok(Self::holding(None, Directory::default(), None));
        }
        let path = PathBuf::from(setting);
        let wrong = |problem: String| {
            let hint = "`oauth add-user --file FILE --name NAME --role ROLE` makes one";
            SettingError::new("users.file", format!("{problem}; {hint}"))
        };
        let stamp = Stamp::of(&path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        let directory = Directory::read(&path).map_err(wrong)?;
        Ok(Self::holding(Some(path), directory, Some(stamp)))
    }

    fn holding(path: Option<PathBuf>, directory: Directory, seen: Option<Stamp>) -> Self {
        let current = RwLock::new(Arc::new(directory));
        Self { inner: Arc::new(Inner { path, current, seen: Mutex::new(seen) }) }
    }

    pub fn directory(&self) -> Arc<Directory> {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what has changed; whether anything had. A file that cannot be used changes nothing.
    pub fn reload(&self) -> Result<bool, String> {
        let Some(path) = &self.inner.path else { return Ok(false) };
        let stamp = Stamp::of(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref() == Some(&stamp) {
            return Ok(false);
        }
        let directory = Directory::read(path)?;
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        *seen = Some(stamp);
        Ok(true)
    }

    /// Follows the file until the stop.
    pub async fn watch(self, lifecycle: Lifecycle) -> Result<(), String> {
        let mut last_problem = None;
        loop {
            tokio::select! {
                () = lifecycle.stopping() => return Ok(()),
                () = tokio::time::sleep(CHECK_EVERY) => {}
            }
            let problem = match self.reload() {
                Ok(changed) => {
                    lifecycle.is_well("users");
                    if changed {
                        tracing::info!("the users and clients were read again");
                    }
                    None
                }
                Err(problem) => {
                    lifecycle.is_troubled("users", "the file cannot be used");
                    Some(problem)
                }
            };
            if problem != last_problem {
                if let Some(problem) = &problem {
                    tracing::error!(problem, "the users file cannot be used; the users known so far stay");
                }
                last_problem = problem;
            }
        }
    }
}

/// Changes the file under a lock, so that two commands at once lose nothing. A missing file is an empty one.
pub fn edit(path: &Path, change: impl FnOnce(&mut Directory) -> Result<(), String>) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(told)?;
    let lock = private().open(path.with_extension("lock")).map_err(told)?;
    lock.lock().map_err(told)?;

    let mut directory = if path.exists() { Directory::read(path)? } else { Directory::default() };
    change(&mut directory)?;
    directory.check()?;
    let text = toml::to_string(&directory).map_err(|error| format!("{}: {error}", path.display()))?;
    replace(path, folder, &format!("{HEAD}{text}")).map_err(told)
}

/// A reader finds the old file or the new one, also after a power cut.
fn replace(path: &Path, folder: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = private().truncate(true).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// Readable by its owner only, from the first moment.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
