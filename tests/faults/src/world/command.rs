//! Programs that are run to their end.

use std::ffi::OsStr;

use tokio::process::Command;

use super::WorldError;

/// What it prints; an error is what it complains of.
pub async fn output<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[A]) -> Result<String, WorldError> {
    let program = program.as_ref();
    let name = program.to_string_lossy();
    let output = Command::new(program).args(arguments).output().await;
    let output = output.map_err(|source| WorldError::io(format!("run {name}"), source))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(WorldError::failed(format!("{name}: {}: {}", output.status, complaint.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
