//! Taken ports are found before anything starts, with the name of who holds them.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use crate::{name::Name, plan::Process};

const ENDING_TAKES: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(
        "port {} for {name} is taken{}; choose another with --{name}-port",
        address.port(), by(holder)
    )]
    Taken { name: Name, address: SocketAddr, holder: Option<String> },
    #[error("{first} and {second} are both given port {port}")]
    Twice { first: Name, second: Name, port: u16 },
    #[error("cannot listen on {address} for {name}")]
    Unusable { name: Name, address: SocketAddr, source: io::Error },
}

fn by(holder: &Option<String>) -> String {
    match holder {
        Some(holder) => format!(" by {holder}"),
        None => String::new(),
    }
}

pub fn check(processes: &[Process]) -> Result<(), PortError> {
    let mut given = BTreeMap::new();
    for process in processes {
        let (name, address) = (process.name, process.listen);
        if let Some(first) = given.insert(address.port(), name) {
            return Err(PortError::Twice { first, second: name, port: address.port() });
        }
        let Err(source) = listen(address) else {
            continue;
        };
        if source.kind() != io::ErrorKind::AddrInUse {
            return Err(PortError::Unusable { name, address, source });
        }
        return Err(PortError::Taken { name, address, holder: holder(address.port()) });
    }
    Ok(())
}

/// A port that nobody seems to hold is often still one of a process that was killed a moment ago.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let asked = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && asked.elapsed() < ENDING_TAKES
                    && holder(address.port()).is_none() =>
            {
                thread::sleep(LOOK_EVERY);
            }
            outcome => return outcome,
        }
    }
}

/// Who listens on this port, as far as this user may know.
fn holder(port: u16) -> Option<String> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse::<u32>().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            fs::read_link(file.path()).is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
        })?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

/// The listening sockets of that port in a table of the kernel, as links in `/proc/PID/fd` name them.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let local = format!(":{port:04X}");
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.len() > 9 && columns[1].ends_with(&local))
        .filter(|columns| columns[3] == LISTEN)
        .map(|columns| format!("socket:[{}]", columns[9]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn process(name: Name, listen: SocketAddr) -> Process {
        Process {
            name,
            program: PathBuf::new(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder: PathBuf::new(),
            working_folder: None,
            listen,
            reach: listen,
        }
    }

    #[test]
    fn a_taken_port_is_told_with_its_holder_and_the_flag_that_changes_it() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address");
        let error = check(&[process(Name::Lookup, address)]).expect_err("a conflict");
        let told = error.to_string();
        assert!(told.contains(&address.port().to_string()), "{told}");
        assert!(told.contains("--lookup-port"), "{told}");
        let pid = format!("(pid {})", std::process::id());
        assert!(told.contains(&pid), "{told}");
    }

    #[test]
    fn two_services_on_one_port_are_refused() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let error = check(&[process(Name::Notice, address), process(Name::Lookup, address)]).expect_err("a conflict");
        assert!(matches!(error, PortError::Twice { first: Name::Notice, second: Name::Lookup, .. }));
    }
}
