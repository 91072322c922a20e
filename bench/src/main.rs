//! Loads a fleet of its own and tells what it bore, with the limit beside each figure.

mod client;
mod connections;
mod cost;
mod events;
mod figures;
mod fleet;
mod load;
mod overload;
mod probes;
mod sick_diagnosis;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use figures::{Figure, table};

/// Measures the fleet under load, on this machine, with a fleet of its own for each scenario.
#[derive(Debug, Parser)]
struct Cli {
    /// Which scenarios; all of them where none is named
    scenarios: Vec<Scenario>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scenario {
    SiegeLittle,
    TenTimes,
    ThreeTimesCapacity,
    SlowDiagnosis,
    DeadDiagnosis,
    FlappingDiagnosis,
    SlowSenders,
    IdleConnections,
    VisibleInLookup,
    CommitToAck,
    CpuAReservation,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("cannot run {}; `./scripts/bench` builds it", program.display())]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the fleet does not get ready: {0}")]
    NotReady(String),
    #[error("a command of the fleet failed: {0}")]
    Command(String),
    #[error("there is no {0} in the fleet")]
    NoService(String),
    #[error("the fleet does not do what this needs: {0}")]
    Unfit(&'static str),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the system does not tell its limits")]
    Limit(#[from] nix::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("bench: {trouble}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: &Cli) -> Result<bool, Trouble> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let scenarios = if cli.scenarios.is_empty() { Scenario::value_variants() } else { &cli.scenarios };
    let mut all: Vec<Figure> = Vec::new();
    for scenario in scenarios {
        eprintln!("{} …", scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default());
        all.extend(measure(*scenario).await?);
    }
    match cli.json {
        true => println!("{}", serde_json::to_string_pretty(&all).map_err(std::io::Error::from)?),
        false => println!("{}", table(&all)),
    }
    Ok(all.iter().all(|figure| figure.holds))
}

async fn measure(scenario: Scenario) -> Result<Vec<Figure>, Trouble> {
    match scenario {
        Scenario::SiegeLittle => overload::siege_little().await,
        Scenario::TenTimes => overload::ten_times().await,
        Scenario::ThreeTimesCapacity => overload::three_times_capacity().await,
        Scenario::SlowDiagnosis => sick_diagnosis::slow().await,
        Scenario::DeadDiagnosis => sick_diagnosis::dead().await,
        Scenario::FlappingDiagnosis => sick_diagnosis::flapping().await,
        Scenario::SlowSenders => connections::slow_senders().await,
        Scenario::IdleConnections => connections::idle().await,
        Scenario::VisibleInLookup => events::visible_in_lookup().await,
        Scenario::CommitToAck => events::commit_to_ack().await,
        Scenario::CpuAReservation => cost::cpu().await,
    }
}
