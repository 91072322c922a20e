//! The settings of this service; `config.toml` says what each is for.

use std::time::Duration;

use chassis::SettingError;
use chassis::config::{Database, duration};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub issuer: Issuer,
    pub tokens: Tokens,
    pub grants: Grants,
    pub users: Users,
    pub passwords: Passwords,
    pub keys: Keys,
    pub database: Database,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Issuer {
    pub url: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    #[serde(deserialize_with = "duration")]
    pub access_lifetime: Duration,
    #[serde(deserialize_with = "duration")]
    pub refresh_lifetime: Duration,
    #[serde(deserialize_with = "duration")]
    pub refresh_overlap: Duration,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Grants {
    pub password: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Users {
    pub file: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Passwords {
    pub concurrent: usize,
    #[serde(deserialize_with = "duration")]
    pub max_wait: Duration,
    pub guesses: i64,
    #[serde(deserialize_with = "duration")]
    pub guess_window: Duration,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Keys {
    #[serde(deserialize_with = "duration")]
    pub rotate_after: Duration,
    #[serde(deserialize_with = "duration")]
    pub publish_before: Duration,
}

/// A key must be known to every replica and verifier before it signs, so nothing shorter makes sense.
const SHORTEST_NOTICE: Duration = Duration::from_secs(60);

impl Config {
    /// Whether the values make sense together.
    pub fn check(&self) -> Result<(), SettingError> {
        let url = &self.issuer.url;
        let is_plain = url::Url::parse(url).is_ok_and(|parsed| {
            matches!(parsed.scheme(), "http" | "https") && parsed.query().is_none() && parsed.fragment().is_none()
        });
        if !is_plain || url.ends_with('/') {
            let problem = "must be an http or https address without query and without a slash at its end";
            return Err(SettingError::new("issuer.url", problem));
        }
        if self.tokens.access_lifetime < Duration::from_secs(1) {
            return Err(SettingError::new("tokens.access_lifetime", "must be at least 1s"));
        }
        if self.tokens.refresh_lifetime <= self.tokens.refresh_overlap {
            return Err(SettingError::new("tokens.refresh_lifetime", "must be longer than tokens.refresh_overlap"));
        }
        if self.passwords.concurrent == 0 {
            return Err(SettingError::new("passwords.concurrent", "must be at least 1"));
        }
        if self.passwords.guesses < 1 {
            return Err(SettingError::new("passwords.guesses", "must be at least 1"));
        }
        if self.keys.publish_before < SHORTEST_NOTICE {
            return Err(SettingError::new("keys.publish_before", "must be at least 1m"));
        }
        if !self.keys.rotate_after.is_zero() && self.keys.rotate_after < 2 * self.keys.publish_before {
            let problem = "must be at least twice keys.publish_before, or 0s for never";
            return Err(SettingError::new("keys.rotate_after", problem));
        }
        Ok(())
    }
}
