//! Settings in layers: the commented defaults compiled into the binary, a file, the environment, `--set`.
//!
//! The defaults are a TOML text with a comment for each key: it is the documentation (`--print-config` prints
//! it), the list of known keys, and where each key's environment variable comes from: `http.port` is `HTTP_PORT`,
//! and `HTTP_PORT_FILE` names a file that holds the value, as mounted secrets do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use crate::About;
use crate::events::security::Security;

const CHASSIS_DEFAULTS: &str = include_str!("config.toml");
/// Of those services that have a section `[kafka]`.
const KAFKA_DEFAULTS: &str = include_str!("events/kafka.toml");

/// What every service reads, beside its own settings.
#[derive(Debug, Clone, Deserialize)]
pub struct ChassisConfig {
    pub http: Http,
    pub log: Log,
    pub auth: Auth,
    pub telemetry: Telemetry,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    pub host: String,
    pub port: u16,
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    pub max_connections: usize,
    pub max_in_flight: usize,
    #[serde(deserialize_with = "duration")]
    pub lame_duck: Duration,
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Telemetry {
    pub otlp_endpoint: String,
    pub sample_ratio: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Auth {
    pub mode: AuthMode,
    pub issuer: String,
    pub audience: String,
    pub jwks_url: String,
    pub operator_role: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Every request needs a valid token.
    Token,
    /// Nobody needs one; whoever brings one is held to it.
    Open,
}

/// The section `[database]` of a service that owns one.
#[derive(Debug, Clone, Deserialize)]
pub struct Database {
    pub url: Secret,
    /// Put into the URL of a PostgreSQL server, so that the rest of it need not be a secret.
    pub password: Secret,
    pub max_connections: u32,
}

/// The section `[kafka]` of a service that publishes or consumes.
#[derive(Debug, Clone, Deserialize)]
pub struct Kafka {
    pub brokers: String,
    pub topic: String,
    pub partitions: i32,
    pub replication: i32,
    pub group: String,
    pub security: Security,
}

/// A text that must not be printed: `Debug` hides it.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads `250ms`, `2s`, `1m 30s` or `12h`.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no duration; write it like 250ms, 2s or 5m"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

/// A setting that cannot be used: which one, why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("setting {key} (environment {}): {problem}", env_name(key))]
pub struct SettingError {
    pub key: String,
    pub problem: String,
}

impl SettingError {
    pub fn new(key: &str, problem: impl fmt::Display) -> Self {
        Self { key: key.to_owned(), problem: problem.to_string() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("settings file {}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
}

/// The layered settings, not yet typed.
pub struct Settings {
    values: config::Config,
}

impl Settings {
    pub fn load(
        about: About,
        file: Option<&Path>,
        overrides: &[(String, String)],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let defaults = source_of(&documented(about));
        let defaults_alone = defaults.clone().build().map_err(untyped)?;
        let known = leaves(&defaults_alone)?;

        let mut layers = defaults;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError::File { path: path.to_owned(), problem: error.to_string() })?;
            refuse_unknown(path, &text, &known)?;
            layers = layers.add_source(toml_text(&text));
        }
        for key in &known {
            if let Some(value) = from_environment(key, &environment)? {
                layers = set(layers, &defaults_alone, key, &value)?;
            }
        }
        for (key, value) in overrides {
            if !known.contains(key) {
                return Err(unknown_key(key, &known).into());
            }
            layers = set(layers, &defaults_alone, key, value)?;
        }
        Ok(Self { values: layers.build().map_err(untyped)? })
    }

    pub fn typed<C: DeserializeOwned>(&self) -> Result<C, SettingError> {
        self.values.clone().try_deserialize().map_err(untyped)
    }
}

/// The commented defaults of a service, as `--print-config` shows them.
pub fn documented(about: About) -> String {
    let chassis = CHASSIS_DEFAULTS.replace("port = 8080", &format!("port = {}", about.port));
    let speaks_to_the_broker = about.defaults.lines().any(|line| line == "[kafka]");
    let kafka = if speaks_to_the_broker { format!("\n{KAFKA_DEFAULTS}") } else { String::new() };
    format!("{chassis}\n{}{kafka}", about.defaults)
}

pub fn env_name(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}

type Layers = config::ConfigBuilder<config::builder::DefaultState>;

fn source_of(text: &str) -> Layers {
    config::Config::builder().add_source(toml_text(text))
}

fn toml_text(text: &str) -> config::File<config::FileSourceString, config::FileFormat> {
    config::File::from_str(text, config::FileFormat::Toml)
}

/// A value that starts with `[` or `{` is TOML (lists, tables), unless its default is a text; everything else is
/// the text itself.
fn set(layers: Layers, defaults: &config::Config, key: &str, value: &str) -> Result<Layers, ConfigError> {
    let is_text = defaults.get::<config::Value>(key).is_ok_and(|d| matches!(d.kind, config::ValueKind::String(_)));
    if is_text || !value.starts_with(['[', '{']) {
        return Ok(layers.set_override(key, value).map_err(untyped)?);
    }
    let parsed = source_of(&format!("value = {value}"))
        .build()
        .and_then(|parsed| parsed.get::<config::Value>("value"))
        .map_err(|error| SettingError::new(key, error))?;
    Ok(layers.set_override(key, parsed).map_err(untyped)?)
}

fn from_environment(key: &str, environment: &impl Fn(&str) -> Option<String>) -> Result<Option<String>, SettingError> {
    let name = env_name(key);
    if let Some(value) = environment(&name) {
        return Ok(Some(value));
    }
    let Some(path) = environment(&format!("{name}_FILE")) else { return Ok(None) };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| SettingError::new(key, format!("{name}_FILE names {path}: {error}")))?;
    Ok(Some(text.trim_end().to_owned()))
}

fn refuse_unknown(path: &Path, text: &str, known: &[String]) -> Result<(), ConfigError> {
    let given = source_of(text)
        .build()
        .map_err(|error| ConfigError::File { path: path.to_owned(), problem: error.to_string() })?;
    for key in leaves(&given)? {
        // A key below a known one belongs to a table whose keys are the operator's own.
        let is_known = known.iter().any(|k| *k == key || key.strip_prefix(k).is_some_and(|rest| rest.starts_with('.')));
        if !is_known {
            return Err(unknown_key(&key, known).into());
        }
    }
    Ok(())
}

fn unknown_key(key: &str, known: &[String]) -> SettingError {
    let section = key.split('.').next().unwrap_or(key);
    let near: Vec<&str> = known.iter().map(String::as_str).filter(|k| k.split('.').next() == Some(section)).collect();
    let hint = if near.is_empty() {
        "--print-config lists all".to_owned()
    } else {
        format!("known here: {}", near.join(", "))
    };
    SettingError::new(key, format!("no such setting; {hint}"))
}

fn leaves(config: &config::Config) -> Result<Vec<String>, SettingError> {
    let table: config::Map<String, config::Value> = config.clone().try_deserialize().map_err(untyped)?;
    let mut found = Vec::new();
    collect_leaves("", table, &mut found);
    found.sort();
    Ok(found)
}

fn collect_leaves(prefix: &str, table: config::Map<String, config::Value>, found: &mut Vec<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            config::ValueKind::Table(inner) if !inner.is_empty() => collect_leaves(&key, inner, found),
            _ => found.push(key),
        }
    }
}

/// The settings crate names the key inside its error where it knows it; it becomes ours.
fn untyped(error: config::ConfigError) -> SettingError {
    match error {
        config::ConfigError::At { error, key: Some(key), .. } => SettingError { key, problem: untyped_problem(*error) },
        config::ConfigError::Type { key: Some(key), unexpected, expected, .. } => {
            SettingError { key, problem: format!("{unexpected} is not {expected}") }
        }
        config::ConfigError::NotFound(key) => SettingError { key, problem: "is missing".to_owned() },
        other => SettingError { key: "(unnamed)".to_owned(), problem: other.to_string() },
    }
}

fn untyped_problem(error: config::ConfigError) -> String {
    match error {
        config::ConfigError::Type { unexpected, expected, .. } => format!("{unexpected} is not {expected}"),
        config::ConfigError::Message(message) => message,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: About = About {
        name: "test",
        version: "1",
        summary: "",
        port: 8080,
        defaults: "[kafka]\nbrokers = \"localhost:9092\"\n[templates]\nhello = \"\"\n[fees]\n",
    };

    fn load(overrides: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<ChassisConfig, String> {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let environment = |name: &str| environment.iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_string());
        let settings = Settings::load(TEST, None, &overrides, environment).map_err(|e| e.to_string())?;
        settings.typed::<ChassisConfig>().map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_alone_are_a_whole_configuration() {
        assert_eq!(load(&[], &[]).unwrap().http.port, 8080);
    }

    #[test]
    fn the_environment_beats_the_defaults_and_a_flag_beats_the_environment() {
        assert_eq!(load(&[], &[("HTTP_PORT", "8081")]).unwrap().http.port, 8081);
        assert_eq!(load(&[("http.port", "8082")], &[("HTTP_PORT", "8081")]).unwrap().http.port, 8082);
    }

    #[test]
    fn a_setting_can_be_read_from_a_mounted_file() {
        let path = std::env::temp_dir().join(format!("setting-{}", std::process::id()));
        std::fs::write(&path, "8083\n").unwrap();
        let port = load(&[], &[("HTTP_PORT_FILE", path.to_str().unwrap())]).unwrap().http.port;
        std::fs::remove_file(path).unwrap();
        assert_eq!(port, 8083);
    }

    #[test]
    fn a_value_of_the_wrong_type_names_its_key_and_its_environment_variable() {
        let error = load(&[], &[("HTTP_PORT", "many")]).unwrap_err();
        assert!(error.contains("http.port") && error.contains("HTTP_PORT"), "{error}");
        let error = load(&[], &[("HTTP_LAME_DUCK", "soon")]).unwrap_err();
        assert!(error.contains("http.lame_duck") && error.contains("250ms"), "{error}");
    }

    #[test]
    fn an_unknown_setting_is_refused_and_its_neighbours_are_named() {
        let error = load(&[("http.prot", "1")], &[]).unwrap_err();
        assert!(error.contains("http.prot") && error.contains("http.port"), "{error}");
    }

    #[test]
    fn an_empty_table_takes_the_operators_own_keys() {
        let path = std::env::temp_dir().join(format!("fees-{}.toml", std::process::id()));
        std::fs::write(&path, "[fees]\nvaccination = 30000\n").unwrap();
        let loaded = Settings::load(TEST, Some(&path), &[], |_| None);
        std::fs::write(&path, "[feees]\nvaccination = 30000\n").unwrap();
        let misspelt = Settings::load(TEST, Some(&path), &[], |_| None);
        std::fs::remove_file(&path).unwrap();
        assert!(loaded.is_ok());
        assert!(misspelt.is_err());
    }

    #[test]
    fn a_text_may_begin_with_a_brace_and_a_table_must() {
        let overrides = [("templates.hello", "{name}, hello"), ("fees", "{ vaccination = 30000 }")];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = Settings::load(TEST, None, &overrides, |_| None).unwrap();
        assert_eq!(settings.values.get::<String>("templates.hello").unwrap(), "{name}, hello");
        assert_eq!(settings.values.get::<i64>("fees.vaccination").unwrap(), 30000);
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
