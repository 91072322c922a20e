//! What the running fleet tells about itself.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::{name::Name, settings::Settings, supervisor::Supervisor};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Starting,
    Ready,
    Stopping,
    Stopped,
    /// It died and will be started again.
    Waiting,
}

/// What its keeper knows about one process.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub state: State,
    pub pid: Option<u32>,
    pub restarts: u32,
    pub last_exit: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub services: Vec<Row>,
    pub gateway: String,
    pub oauth: String,
    pub open: bool,
    pub launcher_pid: u32,
    pub launcher_memory_kb: Option<u64>,
    /// Of the fleet: who only watches it is not counted.
    pub memory_kb: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub service: Name,
    pub address: String,
    pub state: State,
    pub pid: Option<u32>,
    pub restarts: u32,
    pub last_exit: Option<String>,
    pub memory_kb: Option<u64>,
}

impl Status {
    pub fn of(supervisor: &Supervisor, settings: &Settings) -> Self {
        let services: Vec<Row> = supervisor
            .reports()
            .map(|(process, report)| Row {
                service: process.name,
                address: process.reach.to_string(),
                state: report.state,
                pid: report.pid,
                restarts: report.restarts,
                last_exit: report.last_exit,
                memory_kb: report.pid.and_then(memory_kb),
            })
            .collect();
        let launcher_pid = std::process::id();
        let launcher_memory_kb = memory_kb(launcher_pid);
        Self {
            memory_kb: memory_of_all(&services) + launcher_memory_kb.unwrap_or_default(),
            services,
            gateway: settings.reach(Name::Gateway).to_string(),
            oauth: settings.reach(Name::Oauth).to_string(),
            open: settings.open,
            launcher_pid,
            launcher_memory_kb,
        }
    }
}

fn memory_of_all(services: &[Row]) -> u64 {
    services.iter().filter(|row| row.service != Name::Prometheus).filter_map(|row| row.memory_kb).sum()
}

/// The memory that is this process's own, shared pages counted by their share.
fn memory_kb(pid: u32) -> Option<u64> {
    let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = map.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(service: Name, memory_kb: Option<u64>) -> Row {
        Row { service, address: String::new(), state: State::Ready, pid: None, restarts: 0, last_exit: None, memory_kb }
    }

    #[test]
    fn who_watches_is_not_counted_as_memory_of_the_fleet() {
        let rows = [row(Name::Notice, Some(3)), row(Name::Prometheus, Some(100)), row(Name::Kafka, Some(4))];
        assert_eq!(memory_of_all(&rows), 7);
        assert_eq!(memory_of_all(&[row(Name::Lookup, None)]), 0);
    }
}
