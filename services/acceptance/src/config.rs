use chassis::config::{Database, Kafka};
use serde::Deserialize;

use crate::domain::FeeTable;

/// The meaning of each setting is in `config.toml`.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub database: Database,
    pub kafka: Kafka,
    pub fees: FeeTable,
}
