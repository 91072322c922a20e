//! The status as people read it.

use crate::{
    name::Name,
    status::{Row, State, Status},
};

pub fn of_status(status: &Status) -> String {
    let mut lines = vec![row(["SERVICE", "ADDRESS", "STATE", "PID", "RESTARTS", "MEMORY", "LAST EXIT"])];
    lines.extend(status.services.iter().map(service));
    lines.push(row(["fleet", "", "", &status.launcher_pid.to_string(), "", &megabytes(status.launcher_memory_kb), ""]));
    let watched = status.services.iter().any(|row| row.service == Name::Prometheus);
    let counted = if watched { "(all but prometheus)" } else { "(all)" };
    lines.push(row(["", "", "", "", "", &megabytes(Some(status.memory_kb)), counted]));
    lines.join("\n")
}

fn service(service: &Row) -> String {
    let state = match service.state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::Waiting => "restarting",
    };
    row([
        service.service.as_str(),
        &service.address,
        state,
        &service.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        &service.restarts.to_string(),
        &megabytes(service.memory_kb),
        service.last_exit.as_deref().unwrap_or_default(),
    ])
}

fn row([name, address, state, pid, restarts, memory, last_exit]: [&str; 7]) -> String {
    format!("{name:<12} {address:<21} {state:<10} {pid:>8} {restarts:>8} {memory:>9}  {last_exit}")
        .trim_end()
        .to_owned()
}

fn megabytes(kilobytes: Option<u64>) -> String {
    match kilobytes {
        Some(kilobytes) => format!("{:.1} MB", kilobytes as f64 / 1024.0),
        None => String::new(),
    }
}
