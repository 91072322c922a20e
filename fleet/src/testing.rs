//! Folders and stand-in programs for the tests.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// An empty folder of the test's own.
pub fn scratch(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("fleet-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// A shell script that can be run like a service.
pub fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let file = folder.join(format!("{name}.sh"));
    fs::write(&file, format!("#!/bin/sh\n{body}\n")).expect("a script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("an executable script");
    file
}
