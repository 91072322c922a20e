use std::time::Duration;

use chassis::Secret;
use chassis::config::{Database, Kafka, duration};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::template::Templates;

/// The meaning of each setting is in `config.toml`.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub database: Database,
    pub kafka: Kafka,
    #[serde(deserialize_with = "usable")]
    pub channel: ChannelSettings,
    pub templates: Templates,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ChannelSettings {
    pub kind: ChannelKind,
    pub url: String,
    pub secret: Secret,
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    pub concurrency: u32,
    #[serde(deserialize_with = "duration")]
    pub first_backoff: Duration,
    #[serde(deserialize_with = "duration")]
    pub longest_backoff: Duration,
    pub max_attempts: u32,
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    Log,
    Webhook,
}

fn usable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelSettings, D::Error> {
    let channel = ChannelSettings::deserialize(deserializer)?;
    channel.check().map_err(D::Error::custom)?;
    Ok(channel)
}

impl ChannelSettings {
    fn check(&self) -> Result<(), &'static str> {
        if self.concurrency == 0 {
            return Err("channel.concurrency must be at least 1");
        }
        if self.max_attempts == 0 {
            return Err("channel.max_attempts must be at least 1");
        }
        if self.timeout.is_zero() {
            return Err("channel.timeout must be longer than nothing");
        }
        if self.kind == ChannelKind::Log {
            return Ok(());
        }
        let is_web = reqwest::Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_web {
            return Err("channel.url must be an address with http:// or https:// when channel.kind is webhook");
        }
        if self.secret.reveal().is_empty() {
            return Err("channel.secret must not be empty when channel.kind is webhook");
        }
        Ok(())
    }
}
