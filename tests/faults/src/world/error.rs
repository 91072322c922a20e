//! What can go wrong with the world itself, as opposed to the fleet in it.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error("http: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Failed(String),
    /// This machine does not let it be done; a case that needs it is skipped.
    #[error("not permitted here: {0}")]
    NotPermitted(String),
}

impl WorldError {
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }
}
