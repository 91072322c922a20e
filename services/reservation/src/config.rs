use chassis::client::{ClientSettings, CredentialsSettings};
use chassis::config::{Database, Kafka};
use serde::Deserialize;

/// The meaning of each setting is in `config.toml`.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub database: Database,
    pub kafka: Kafka,
    pub diagnosis: ClientSettings,
    pub credentials: CredentialsSettings,
}
