//! Who is at the ends of a link.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// The driver itself: the fleet's clients and the checker.
    Client,
    Gateway,
    Reservation,
    Diagnosis,
    Acceptance,
    Notice,
    Lookup,
    Oauth,
    Kafka,
    Postgres,
    /// Where notice posts its messages to; in the driver.
    Webhook,
}

impl Node {
    /// In the order in which they are started.
    pub const SERVICES: [Self; 7] =
        [Self::Oauth, Self::Diagnosis, Self::Reservation, Self::Acceptance, Self::Notice, Self::Lookup, Self::Gateway];
    pub const WITH_DATABASE: [Self; 6] =
        [Self::Oauth, Self::Diagnosis, Self::Reservation, Self::Acceptance, Self::Notice, Self::Lookup];
    pub const PUBLISHERS: [Self; 3] = [Self::Reservation, Self::Diagnosis, Self::Acceptance];
    pub const CONSUMERS: [Self; 4] = [Self::Diagnosis, Self::Acceptance, Self::Notice, Self::Lookup];

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Reservation => "reservation",
            Self::Diagnosis => "diagnosis",
            Self::Acceptance => "acceptance",
            Self::Notice => "notice",
            Self::Lookup => "lookup",
            Self::Oauth => "oauth",
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Webhook => "webhook",
        }
    }

    pub fn uses_kafka(self) -> bool {
        Self::PUBLISHERS.contains(&self) || Self::CONSUMERS.contains(&self)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
