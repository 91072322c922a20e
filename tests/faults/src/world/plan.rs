//! What a world is to be like.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Node;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kafka {
    Embedded,
    Apache,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub storage: Storage,
    pub kafka: Kafka,
    /// Of every service; more than one only on PostgreSQL.
    pub replicas: usize,
    pub seed: u64,
    /// Everything of this world: databases, logs, the broker's records. It is made, and kept.
    pub folder: PathBuf,
    /// Where the binaries are, built with failpoints.
    pub binaries: PathBuf,
    /// Where those of an older version are.
    pub older: Option<PathBuf>,
    /// Whether all services start with it.
    pub starts_older: bool,
    /// Variables of a service's environment beside the usual ones.
    pub settings: BTreeMap<Node, BTreeMap<String, String>>,
    /// Whether the services' clock can be set: [`super::World::set_clock`].
    pub has_clock: bool,
    /// A service whose data is on a disk of so many megabytes: [`super::Disk`].
    pub small_disk: Option<(Node, u32)>,
}

impl Plan {
    pub fn new(folder: PathBuf, binaries: PathBuf, seed: u64) -> Self {
        Self {
            storage: Storage::Sqlite,
            kafka: Kafka::Embedded,
            replicas: 1,
            seed,
            folder,
            binaries,
            older: None,
            starts_older: false,
            settings: BTreeMap::new(),
            has_clock: false,
            small_disk: None,
        }
    }

    /// Where the programs are that the services start with.
    pub fn first_binaries(&self) -> &Path {
        self.older.as_ref().filter(|_| self.starts_older).unwrap_or(&self.binaries)
    }

    pub fn set(&mut self, of: Node, key: &str, value: &str) {
        self.settings.entry(of).or_default().insert(key.to_owned(), value.to_owned());
    }
}
