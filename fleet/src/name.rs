//! The processes of the fleet and what is fixed about each.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    Gateway,
    Reservation,
    Diagnosis,
    Acceptance,
    Notice,
    Lookup,
    Oauth,
    Kafka,
    Prometheus,
}

impl Name {
    pub const ALL: [Self; 9] = [
        Self::Gateway,
        Self::Reservation,
        Self::Diagnosis,
        Self::Acceptance,
        Self::Notice,
        Self::Lookup,
        Self::Oauth,
        Self::Kafka,
        Self::Prometheus,
    ];

    /// Who stops together, in this order: the way in first, what everybody needs last, and then who has watched.
    pub const STOP_ORDER: [&[Self]; 5] = [
        &[Self::Gateway],
        &[Self::Reservation, Self::Diagnosis, Self::Acceptance, Self::Notice, Self::Lookup],
        &[Self::Oauth],
        &[Self::Kafka],
        &[Self::Prometheus],
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Reservation => "reservation",
            Self::Diagnosis => "diagnosis",
            Self::Acceptance => "acceptance",
            Self::Notice => "notice",
            Self::Lookup => "lookup",
            Self::Oauth => "oauth",
            Self::Kafka => "kafka",
            Self::Prometheus => "prometheus",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Kafka => 9092,
            other => 8080 + other.port_offset(),
        }
    }

    /// The distance from `--port-base`.
    pub fn port_offset(self) -> u16 {
        match self {
            Self::Reservation => 1,
            Self::Notice => 2,
            Self::Diagnosis => 3,
            Self::Lookup => 4,
            Self::Acceptance => 5,
            Self::Gateway => 8,
            Self::Oauth => 10,
            Self::Kafka => 12,
            // Its own port, 9090, is where Debian's package has one running already.
            Self::Prometheus => 14,
        }
    }

    /// Whether it is built from this repository's sources, with settings, metrics and health as all of them have.
    pub fn is_service(self) -> bool {
        !matches!(self, Self::Kafka | Self::Prometheus)
    }

    pub fn has_database(self) -> bool {
        self.is_service() && self != Self::Gateway
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
