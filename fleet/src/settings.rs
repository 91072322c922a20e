//! Settings: flags before environment before file before defaults.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::{Args, builder::BoolishValueParser};
use serde::Deserialize;

use crate::name::Name;

const DEFAULT_FILE: &str = "fleet.toml";

/// What `fleet up` may be told, by flag and environment (read by clap) or by file (read by serde).
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The address everything listens on [default: 127.0.0.1]
    #[arg(long, env = "FLEET_HOST", value_name = "IP")]
    pub host: Option<IpAddr>,
    /// Moves all ports: the gateway to BASE+8, oauth to BASE+10, kafka to BASE+12, …
    #[arg(long, env = "FLEET_PORT_BASE", value_name = "BASE")]
    pub port_base: Option<u16>,
    /// [default: 8088]
    #[arg(long, env = "FLEET_GATEWAY_PORT", value_name = "PORT")]
    pub gateway_port: Option<u16>,
    /// [default: 8081]
    #[arg(long, env = "FLEET_RESERVATION_PORT", value_name = "PORT")]
    pub reservation_port: Option<u16>,
    /// [default: 8083]
    #[arg(long, env = "FLEET_DIAGNOSIS_PORT", value_name = "PORT")]
    pub diagnosis_port: Option<u16>,
    /// [default: 8085]
    #[arg(long, env = "FLEET_ACCEPTANCE_PORT", value_name = "PORT")]
    pub acceptance_port: Option<u16>,
    /// [default: 8082]
    #[arg(long, env = "FLEET_NOTICE_PORT", value_name = "PORT")]
    pub notice_port: Option<u16>,
    /// [default: 8084]
    #[arg(long, env = "FLEET_LOOKUP_PORT", value_name = "PORT")]
    pub lookup_port: Option<u16>,
    /// [default: 8090]
    #[arg(long, env = "FLEET_OAUTH_PORT", value_name = "PORT")]
    pub oauth_port: Option<u16>,
    /// [default: 9092]
    #[arg(long, env = "FLEET_KAFKA_PORT", value_name = "PORT")]
    pub kafka_port: Option<u16>,
    /// [default: 8094]
    #[arg(long, env = "FLEET_PROMETHEUS_PORT", value_name = "PORT")]
    pub prometheus_port: Option<u16>,
    /// Ask nobody for a token
    #[arg(long, env = "FLEET_OPEN", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub open: Option<bool>,
    /// Watch it all with Prometheus, which must be installed
    #[arg(long, env = "FLEET_OBSERVE", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub observe: Option<bool>,
    /// Run only these, separated by commas
    #[arg(long, env = "FLEET_ONLY", value_delimiter = ',', value_name = "SERVICES")]
    pub only: Option<Vec<Name>>,
    /// Use this Kafka instead of the embedded broker
    #[arg(long, env = "FLEET_KAFKA", value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Keep the databases on this PostgreSQL server, one for each service
    #[arg(long, env = "FLEET_POSTGRES", value_name = "URL")]
    pub postgres: Option<String>,
    /// Let each treatment take this long, as in 400ms..620ms
    #[arg(long, env = "FLEET_SIMULATED_TREATMENT", value_name = "RANGE")]
    pub simulated_treatment: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub host: IpAddr,
    pub ports: BTreeMap<Name, u16>,
    pub open: bool,
    pub observe: bool,
    pub only: Option<Vec<Name>>,
    pub kafka: Option<String>,
    pub postgres: Option<String>,
    pub simulated_treatment: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} does not say what the fleet understands", file.display())]
    Parse { file: PathBuf, source: Box<toml::de::Error> },
    #[error("--port-base {0} leaves no room for the ports above it")]
    PortBase(u16),
    #[error("--postgres needs a URL such as postgres://user:password@host, not {0:?}")]
    Postgres(String),
}

/// The file's part: the data folder, which every command needs, and the options of `up`.
#[derive(Debug, Default)]
pub struct File {
    pub data: Option<PathBuf>,
    pub options: Options,
}

impl File {
    /// Reads the file that was named, or `fleet.toml` where there is one.
    pub fn read(named: Option<&Path>) -> Result<Self, SettingsError> {
        let file = named.unwrap_or(Path::new(DEFAULT_FILE));
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&text)
                .map_err(|source| SettingsError::Parse { file: file.to_owned(), source: Box::new(source) }),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SettingsError::Read { file: file.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut table: toml::Table = text.parse()?;
        let data = table.remove("data").map(PathBuf::deserialize).transpose()?;
        Ok(Self { data, options: Options::deserialize(table)? })
    }
}

impl Options {
    /// What is said here, and where nothing is, what the other says.
    fn or(self, other: Self) -> Self {
        Self {
            host: self.host.or(other.host),
            port_base: self.port_base.or(other.port_base),
            gateway_port: self.gateway_port.or(other.gateway_port),
            reservation_port: self.reservation_port.or(other.reservation_port),
            diagnosis_port: self.diagnosis_port.or(other.diagnosis_port),
            acceptance_port: self.acceptance_port.or(other.acceptance_port),
            notice_port: self.notice_port.or(other.notice_port),
            lookup_port: self.lookup_port.or(other.lookup_port),
            oauth_port: self.oauth_port.or(other.oauth_port),
            kafka_port: self.kafka_port.or(other.kafka_port),
            prometheus_port: self.prometheus_port.or(other.prometheus_port),
            open: self.open.or(other.open),
            observe: self.observe.or(other.observe),
            only: self.only.or(other.only),
            kafka: self.kafka.or(other.kafka),
            postgres: self.postgres.or(other.postgres),
            simulated_treatment: self.simulated_treatment.or(other.simulated_treatment),
        }
    }

    fn port(&self, name: Name) -> Option<u16> {
        match name {
            Name::Gateway => self.gateway_port,
            Name::Reservation => self.reservation_port,
            Name::Diagnosis => self.diagnosis_port,
            Name::Acceptance => self.acceptance_port,
            Name::Notice => self.notice_port,
            Name::Lookup => self.lookup_port,
            Name::Oauth => self.oauth_port,
            Name::Kafka => self.kafka_port,
            Name::Prometheus => self.prometheus_port,
        }
    }
}

impl Settings {
    pub fn new(said: Options, file: Options) -> Result<Self, SettingsError> {
        let options = said.or(file);
        let mut ports = BTreeMap::new();
        for name in Name::ALL {
            let moved = match options.port_base {
                Some(base) => base.checked_add(name.port_offset()).ok_or(SettingsError::PortBase(base))?,
                None => name.default_port(),
            };
            ports.insert(name, options.port(name).unwrap_or(moved));
        }
        if let Some(url) = &options.postgres
            && !(url.starts_with("postgres://") || url.starts_with("postgresql://"))
        {
            return Err(SettingsError::Postgres(url.clone()));
        }
        let named = options.only.as_ref().is_some_and(|only| only.contains(&Name::Prometheus));
        Ok(Self {
            host: options.host.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            ports,
            open: options.open.unwrap_or(false),
            observe: options.observe.unwrap_or(named),
            only: options.only,
            kafka: options.kafka,
            postgres: options.postgres,
            simulated_treatment: options.simulated_treatment,
        })
    }

    pub fn runs(&self, name: Name) -> bool {
        match name {
            Name::Kafka if self.kafka.is_some() => false,
            // It watches what there is, however little.
            Name::Prometheus => self.observe,
            _ => self.only.as_ref().is_none_or(|only| only.contains(&name)),
        }
    }

    pub fn listen(&self, name: Name) -> SocketAddr {
        SocketAddr::new(self.host, self.ports[&name])
    }

    /// Where the others find it: who listens everywhere is reached at home.
    pub fn reach(&self, name: Name) -> SocketAddr {
        let host = match self.host {
            IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            host => host,
        };
        SocketAddr::new(host, self.ports[&name])
    }

    pub fn url(&self, name: Name) -> String {
        format!("http://{}", self.reach(name))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn said(arguments: &[&str]) -> Options {
        let arguments = ["fleet", "up"].iter().chain(arguments);
        match Cli::parse_from(arguments).command {
            Command::Up(options) => *options,
            other => panic!("not up: {other:?}"),
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = File::parse("data = \"d\"\ngateway-port = 1\noauth-port = 2\nopen = true\n").expect("a file");
        let settings = Settings::new(said(&["--gateway-port", "7"]), file.options).expect("settings");
        assert_eq!(settings.ports[&Name::Gateway], 7);
        assert_eq!(settings.ports[&Name::Oauth], 2);
        assert_eq!(settings.ports[&Name::Lookup], 8084);
        assert!(settings.open);
        assert_eq!(file.data, Some(PathBuf::from("d")));
    }

    #[test]
    fn a_flag_can_take_back_what_the_file_opens() {
        let file = File::parse("open = true").expect("a file");
        let settings = Settings::new(said(&["--open=false"]), file.options).expect("settings");
        assert!(!settings.open);
    }

    #[test]
    fn an_unknown_setting_in_the_file_is_an_error_that_names_it() {
        let error = File::parse("gatway-port = 1").expect_err("a typing error");
        assert!(error.to_string().contains("gatway-port"));
    }

    #[test]
    fn a_port_base_moves_all_ports_but_those_that_are_named() {
        let settings =
            Settings::new(said(&["--port-base", "20000", "--kafka-port", "5"]), Options::default()).expect("settings");
        assert_eq!(settings.ports[&Name::Gateway], 20008);
        assert_eq!(settings.ports[&Name::Kafka], 5);
        assert!(Settings::new(said(&["--port-base", "65530"]), Options::default()).is_err());
    }

    #[test]
    fn only_leaves_the_others_out_and_another_kafka_the_embedded_one() {
        let settings = Settings::new(said(&["--only", "notice,kafka"]), Options::default()).expect("settings");
        assert!(settings.runs(Name::Notice) && settings.runs(Name::Kafka));
        assert!(!settings.runs(Name::Gateway));
        let settings = Settings::new(said(&["--kafka", "k:9092"]), Options::default()).expect("settings");
        assert!(settings.runs(Name::Gateway) && !settings.runs(Name::Kafka));
    }

    #[test]
    fn prometheus_runs_when_it_is_asked_for_whatever_else_does() {
        let runs = |arguments: &[&str], file: &str| {
            let file = File::parse(file).expect("a file");
            Settings::new(said(arguments), file.options).expect("settings").runs(Name::Prometheus)
        };
        assert!(!runs(&[], ""));
        assert!(runs(&["--observe"], "observe = false"));
        assert!(runs(&[], "observe = true"));
        assert!(!runs(&["--observe=false"], "observe = true"));
        assert!(runs(&["--observe", "--only", "notice"], ""));
        assert!(runs(&["--only", "notice,prometheus"], ""));
    }

    #[test]
    fn prometheus_has_a_port_of_its_own_that_moves_with_the_others() {
        let port = |arguments: &[&str]| {
            Settings::new(said(arguments), Options::default()).expect("settings").ports[&Name::Prometheus]
        };
        assert_eq!(port(&[]), 8094);
        assert_eq!(port(&["--port-base", "20000"]), 20014);
        assert_eq!(port(&["--prometheus-port", "9091"]), 9091);
    }
}
