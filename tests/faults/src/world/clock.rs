//! The services' wall clock, moved while they run. What they measure with the monotonic clock is left alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::WorldError;

const FOLDERS: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];

/// What every service reads its offset from.
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    pub fn new(folder: &Path) -> Result<Self, WorldError> {
        let libraries = FOLDERS.iter().map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|library| library.exists());
        let missing = || WorldError::NotPermitted("libfaketime is missing; its Debian package is faketime".to_owned());
        let clock = Self { file: folder.join("clock"), library: library.ok_or_else(missing)? };
        clock.set(0)?;
        Ok(clock)
    }

    /// Seconds from the true time.
    pub fn set(&self, seconds: i64) -> Result<(), WorldError> {
        // In one step: a reader never finds half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| std::fs::rename(&new, &self.file))
            .map_err(|source| WorldError::io("set the clock", source))
    }

    pub fn environment(&self) -> BTreeMap<String, String> {
        let variables = [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ];
        variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}
