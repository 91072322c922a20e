//! A small disk under a service's data: filled up and freed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::WorldError;

const BLOCK: usize = 64 * 1024;

/// Unmounted when this is dropped.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    pub fn mount(folder: &Path, megabytes: u32) -> Result<Self, WorldError> {
        let size = format!("size={megabytes}m,mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        let mounted = mounted.map_err(|error| WorldError::NotPermitted(format!("mount: {error}")))?;
        if !mounted.status.success() {
            return Err(WorldError::NotPermitted(String::from_utf8_lossy(&mounted.stderr).trim().to_owned()));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Takes what is left, to the last byte.
    pub fn fill(&self) -> Result<(), WorldError> {
        let failed = |source| WorldError::io("fill the disk", source);
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).map_err(failed)?;
        let block = vec![0; BLOCK];
        let mut size = BLOCK;
        while size > 0 {
            match ballast.write_all(&block[..size]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 2,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    pub fn free(&self) -> Result<(), WorldError> {
        std::fs::remove_file(self.ballast()).map_err(|source| WorldError::io("free the disk", source))
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the service may still have files open.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.folder.display());
        }
    }
}
