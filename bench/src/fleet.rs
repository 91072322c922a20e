//! A fleet of its own for each scenario, and what it tells about itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::Trouble;
use crate::client::{Client, Question, Target};

const PORT_BASE: u16 = 28_100;
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct Fleet {
    launcher: Child,
    remote: Remote,
    token: String,
    pub services: Vec<Service>,
}

/// Commands to the running fleet.
#[derive(Clone)]
pub struct Remote {
    program: PathBuf,
    folder: PathBuf,
}

impl Remote {
    /// Runs a command of the launcher and gives what it prints.
    pub fn command(&self, arguments: &[&str]) -> Result<String, Trouble> {
        let output = Command::new(&self.program).args(arguments).arg("--data").arg(&self.folder).output()?;
        if !output.status.success() {
            return Err(Trouble::Command(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    #[serde(rename = "service")]
    pub name: String,
    pub address: String,
    state: String,
    pid: Option<u32>,
}

#[derive(Deserialize)]
struct Status {
    services: Vec<Service>,
}

impl Fleet {
    pub async fn start(options: &[&str]) -> Result<Self, Trouble> {
        let program = std::env::current_exe()?.with_file_name("fleet");
        let folder = std::env::temp_dir().join(format!("bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = fs::File::create(folder.join("up.log"))?;
        let launcher = Command::new(&program)
            .args(["up", "--port-base", &PORT_BASE.to_string(), "--data"])
            .arg(&folder)
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|source| Trouble::Start { program: program.clone(), source })?;
        let mut fleet =
            Self { launcher, remote: Remote { program, folder }, token: String::new(), services: Vec::new() };
        fleet.until_ready().await?;
        fleet.token = fleet.command(&["token", "--as", "desk"])?.trim().to_owned();
        Ok(fleet)
    }

    pub async fn until_ready(&mut self) -> Result<(), Trouble> {
        let started = Instant::now();
        loop {
            let status: Option<Status> =
                self.command(&["status", "--json"]).ok().and_then(|text| serde_json::from_str(&text).ok());
            if let Some(status) = status
                && status.services.iter().all(|service| service.state == "ready")
            {
                self.services = status.services;
                return Ok(());
            }
            if started.elapsed() > STARTS_WITHIN {
                return Err(Trouble::NotReady(fs::read_to_string(self.remote.folder.join("up.log"))?));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Result<String, Trouble> {
        self.remote.command(arguments)
    }

    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    pub fn service(&self, name: &str) -> Result<&Service, Trouble> {
        self.services.iter().find(|service| service.name == name).ok_or_else(|| Trouble::NoService(name.to_owned()))
    }

    /// The gateway, as the front desk.
    pub fn target(&self) -> Result<Target, Trouble> {
        Ok(Target { address: self.service("gateway")?.address.clone(), token: self.token.clone() })
    }

    /// A service's metrics; empty where it does not answer.
    pub async fn metrics(&self, service: &str) -> Result<String, Trouble> {
        let target = Target { address: self.service(service)?.address.clone(), token: String::new() };
        let answer = Client::new(&target).ask(&Question::get("/metrics")).await;
        Ok(answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()).unwrap_or_default())
    }

    /// The most memory that any service had so far, in MiB. The broker is none of them.
    pub fn peak_memory(&self) -> Result<f64, Trouble> {
        let mut most: f64 = 0.0;
        for service in self.services.iter().filter(|service| service.name != "kafka") {
            let Some(pid) = service.pid else { continue };
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
            let kilobytes: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
            most = most.max(kilobytes / 1024.0);
        }
        Ok(most)
    }

    /// What each service, and the broker, has used of the processors so far.
    pub fn processor_time(&self) -> Result<Vec<(String, Duration)>, Trouble> {
        let ticks_a_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
        let mut times = Vec::new();
        for service in &self.services {
            let Some(pid) = service.pid else { continue };
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // After the name, which may hold anything: the 12th is user, the 13th system time.
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
            let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
            times.push((service.name.clone(), Duration::from_secs_f64(ticks / ticks_a_second)));
        }
        Ok(times)
    }

    /// Puts a diagnosis that takes its time in the place of the fleet's own, with the same settings otherwise.
    pub fn slow_diagnosis(&self, range: &str) -> Result<StandIn, Trouble> {
        let own = self.service("diagnosis")?;
        let pid = own.pid.ok_or_else(|| Trouble::NoService(own.name.clone()))?;
        let environment = fs::read(format!("/proc/{pid}/environ"))?;
        self.command(&["stop", "diagnosis"])?;
        let variables = environment.split(|byte| *byte == 0).filter_map(|pair| {
            let (key, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        });
        let child = Command::new(self.remote.program.with_file_name("diagnosis"))
            .envs(variables)
            .env("TREATMENT_SIMULATED_TIME", range)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(StandIn(child))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Err(trouble) = self.command(&["down"]) {
            eprintln!("the fleet was gone already: {trouble}");
        }
        if let Err(error) = self.launcher.wait().and_then(|_| fs::remove_dir_all(&self.remote.folder)) {
            eprintln!("{}: {error}", self.remote.folder.display());
        }
    }
}

/// Killed when it is dropped: its own work is held in its database.
pub struct StandIn(Child);

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("the slow diagnosis: {error}");
        }
    }
}

/// The sum of all series of this name.
pub fn sum_of(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with([' ', '{']).then(|| line.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_name_are_added_up_and_namesakes_are_not() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3\na_total 7\n";
        assert_eq!((sum_of(text, "a"), sum_of(text, "a_total"), sum_of(text, "b")), (5.0, 7.0, 0.0));
    }
}
