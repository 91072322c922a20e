//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{name::Name, settings::Options};

/// Runs the whole animal hospital on this machine: every service, its database, and a Kafka-compatible broker.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// The folder of databases, logs and credentials [default: data]
    #[arg(long, global = true, env = "FLEET_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A file of settings, named as the flags are [default: fleet.toml, if there is one]
    #[arg(long, global = true, env = "FLEET_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything and keep it running until Ctrl-C or `fleet down`
    Up(Box<Options>),
    /// Show what runs, where, and with how much memory
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Stop services of the running fleet
    Stop {
        #[arg(required = true)]
        services: Vec<Name>,
    },
    /// Start services that were stopped
    Start {
        #[arg(required = true)]
        services: Vec<Name>,
    },
    /// Stop and start services
    Restart {
        #[arg(required = true)]
        services: Vec<Name>,
    },
    /// Show the logs, of one service or all
    Logs {
        /// Go on showing what is written
        #[arg(short, long)]
        follow: bool,
        service: Option<Name>,
    },
    /// Print a token and nothing else
    Token {
        /// As whom
        #[arg(long = "as", value_name = "WHO")]
        who: Person,
    },
    /// Play the story of a visit against the running fleet
    Demo,
    /// Compare what all services say of each reservation; exit code 1 if they differ
    Reconcile {
        /// How long what differs may take to come to rest
        #[arg(long, value_name = "TIME")]
        settle: Option<String>,
        /// Begin after this reservation
        #[arg(long, value_name = "ID")]
        since: Option<i64>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Stop the running fleet
    Down,
    /// Delete everything in the data folder
    Reset {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// The embedded broker; `up` starts it
    #[command(hide = true)]
    Broker {
        #[arg(long)]
        listen: std::net::SocketAddr,
        #[arg(long)]
        advertise: std::net::SocketAddr,
    },
}

/// The people the fleet makes at its first start; each is named after its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Person {
    Customer,
    Desk,
    Vet,
    Admin,
}

impl Person {
    pub const ALL: [Self; 4] = [Self::Customer, Self::Desk, Self::Vet, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Desk => "desk",
            Self::Vet => "vet",
            Self::Admin => "admin",
        }
    }
}
