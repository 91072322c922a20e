//! The settings; `config.toml` says what they mean.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::config::duration;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub upstreams: BTreeMap<String, String>,
    pub more_upstreams: BTreeMap<String, String>,
    pub routes: Vec<RouteSettings>,
    pub proxy: ProxySettings,
    pub forwarded: ForwardedSettings,
    pub rate_limit: RateLimitSettings,
    pub cors: CorsSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    pub path: String,
    pub upstream: String,
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(default)]
    pub public: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ProxySettings {
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    pub max_in_flight: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ForwardedSettings {
    pub trust: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RateLimitSettings {
    pub per_second: u32,
    pub burst: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct CorsSettings {
    pub origins: Vec<String>,
    pub credentials: bool,
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
}
