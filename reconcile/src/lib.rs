//! Compares what the services say of each reservation, with each other and with the view.
//!
//! It asks each for its ledger and walks through all five at once, by the reservations' ids. On a live system an
//! event may be on its way, so whatever differs is asked for again: it counts if nothing about it has moved since.

mod compare;
mod ledger;
mod report;
mod walk;

use std::process::ExitCode;
use std::time::Duration;

use chassis::client::CredentialsSettings;
use chassis::config::parse_duration;
use chassis::{About, Secret, StartError};
use clap::Args;
use serde::Deserialize;

pub use compare::{Account, differences};
pub use ledger::Unavailable;
pub use report::{Difference, Report};

pub const ABOUT: About = About {
    name: "reconcile",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Compares what all services say of each reservation.",
    port: 0,
    defaults: include_str!("config.toml"),
};

/// The services differ.
const DIFFERENT: u8 = 1;
/// The services could not be compared, or not about every reservation.
const NOT_COMPARED: u8 = 2;

/// The meaning of each setting is in `config.toml`.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub services: Services,
    pub access: Access,
    pub credentials: CredentialsSettings,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Services {
    pub reservation: String,
    pub diagnosis: String,
    pub acceptance: String,
    pub notice: String,
    pub lookup: String,
}

#[derive(Debug, Deserialize)]
pub struct Access {
    pub token: Secret,
}

/// What is to be compared, and how patiently.
#[derive(Debug, Clone, Args)]
pub struct Asked {
    /// Begin after this reservation
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub since: i64,
    /// How long what differs may take to come to rest
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub settle: Duration,
    /// How often what differs and still moves is asked for again
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub rounds: u32,
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// Compares, prints, and says by its exit code how it went.
pub async fn execute(config: Config, asked: Asked) -> Result<ExitCode, StartError> {
    let json = asked.json;
    match walk::compare(config, &asked).await {
        Ok(report) => {
            chassis::run::print(json, &report, || report.text())?;
            Ok(ExitCode::from(report.exit_code()))
        }
        Err(unavailable) => {
            eprintln!("reconcile: {unavailable}");
            Ok(ExitCode::from(NOT_COMPARED))
        }
    }
}
