//! The broker: the one that the launcher embeds, or Apache Kafka.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::Node;
use super::plan::{Kafka, Plan};
use super::process::{Blueprint, Probe};

/// It listens on `address` and tells its clients to come to `advertised`.
pub fn blueprint(plan: &Plan, folder: &Path, address: SocketAddr, advertised: SocketAddr, log: PathBuf) -> Blueprint {
    let (program, arguments) = match plan.kafka {
        Kafka::Embedded => {
            let words = ["broker", "--listen", &address.to_string(), "--advertise", &advertised.to_string()];
            (plan.binaries.join("fleet"), words.map(str::to_owned).to_vec())
        }
        Kafka::Apache => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka");
            let port = address.port().to_string();
            let words = ["run", &folder.display().to_string(), &port, &advertised.to_string()];
            (script, words.map(str::to_owned).to_vec())
        }
    };
    // The jars are kept in the user's cache.
    let home =
        ["HOME", "XDG_CACHE_HOME"].into_iter().filter_map(|key| Some((key.to_owned(), std::env::var(key).ok()?)));
    Blueprint {
        node: Node::Kafka,
        replica: 0,
        address,
        program,
        arguments,
        environment: home.collect::<BTreeMap<_, _>>(),
        working_folder: folder.to_owned(),
        log,
        stop_signal: Signal::SIGTERM,
        probe: Probe::Connects,
    }
}
