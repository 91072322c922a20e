//! One child process: started with its log, asked whether it is ready, stopped.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use hyper::Method;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use crate::{
    folder::{note_pid, pid_file},
    http,
    name::Name,
    plan::Process,
};

const LOG_LIMIT: u64 = 10 * 1024 * 1024;
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// Has each service read its settings before any is started: one that is wrong stays wrong at every restart.
/// The inner error is what the first to refuse them says.
pub fn check_settings(processes: &[Process]) -> io::Result<Result<(), String>> {
    let services = processes.iter().filter(|process| process.name.is_service());
    let checks = services.map(|service| {
        std::process::Command::new(&service.program)
            .arg("--check-config")
            .envs(&service.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    });
    // All at once, so that it takes as long as one.
    for check in checks.collect::<io::Result<Vec<_>>>()? {
        let checked = check.wait_with_output()?;
        if !checked.status.success() {
            return Ok(Err(String::from_utf8_lossy(&checked.stderr).trim().to_owned()));
        }
    }
    Ok(Ok(()))
}

impl Process {
    pub fn spawn(&self) -> io::Result<Child> {
        let log = self.open_log()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A terminal's Ctrl-C is for the fleet, which stops its processes in order.
            .process_group(0);
        if let Some(folder) = &self.working_folder {
            command.current_dir(folder);
        }
        let child = command.spawn()?;
        if let Some(pid) = child.id() {
            note_pid(&pid_file(&self.folder, self.name), pid)?;
        }
        Ok(child)
    }

    /// Appends to the log; one that has grown too long is put aside first.
    fn open_log(&self) -> io::Result<File> {
        let log = self.log();
        if fs::metadata(&log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::rename(&log, log.with_extension("log.1"))?;
        }
        File::options().create(true).append(true).open(log)
    }

    /// Ends when the process is ready; the broker is when it accepts connections.
    pub async fn ready(&self) {
        loop {
            let ready = match self.name {
                Name::Kafka => TcpStream::connect(self.reach).await.is_ok(),
                Name::Prometheus => self.says_ready("/-/ready").await,
                _ => self.says_ready("/actuator/health/readiness").await,
            };
            if ready {
                return;
            }
            sleep(PROBE_PAUSE).await;
        }
    }

    async fn says_ready(&self, path: &str) -> bool {
        http::send(self.reach, Method::GET, path, None, None).await.is_ok_and(|answer| answer.status == 200)
    }
}

/// Sends a signal to a child that has not been waited for yet, so that its number is still its own.
pub fn signal(child: &Child, signal: Signal) -> Result<(), Errno> {
    let Some(pid) = child.id() else {
        return Ok(());
    };
    match kill(Pid::from_raw(pid as i32), signal) {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}

/// How a process ended, in words.
pub fn describe(status: ExitStatus) -> String {
    if let Some(number) = status.signal() {
        return match Signal::try_from(number) {
            Ok(signal) => format!("signal {number} ({signal})"),
            Err(_) => format!("signal {number}"),
        };
    }
    let code = status.code().unwrap_or_default();
    match code {
        2 => "exit code 2 (bad usage)".to_owned(),
        69 => "exit code 69 (could not start)".to_owned(),
        70 => "exit code 70 (a task crashed)".to_owned(),
        78 => "exit code 78 (bad setting)".to_owned(),
        code => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

    use super::*;

    fn service(program: &str) -> Process {
        Process {
            name: Name::Diagnosis,
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder: PathBuf::new(),
            working_folder: None,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            reach: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }

    #[test]
    fn a_service_that_refuses_its_settings_is_quoted_before_anything_starts() {
        assert_eq!(check_settings(&[service("true")]).expect("an answer"), Ok(()));
        // It does not know the option, and says so.
        let refused = check_settings(&[service("true"), service("ls")]).expect("an answer");
        assert!(refused.expect_err("a refusal").contains("check-config"));
    }
}
