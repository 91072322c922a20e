//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::world;

#[derive(Debug, Parser)]
#[command(name = "faults", about = "Proves what the fleet promises, by breaking things while it works.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plant known bugs one after another: each must be caught.
    Plant {
        /// Only these; see tests/faults/planted.
        names: Vec<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which cases, sizes and random choices; printed, so that a run can be repeated.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only these cases.
    #[arg(long, num_args = 1.., value_name = "CASE")]
    pub only: Vec<String>,
    /// Names the cases, and ends.
    #[arg(long)]
    pub list: bool,
    /// The short campaign: the cases that find most, on both storages, with two seeds.
    #[arg(long)]
    pub short: bool,
    /// Begins the cases anew with another seed until this time is over.
    #[arg(long)]
    pub minutes: Option<u64>,
    #[arg(long, value_enum, default_value_t = Storage::Sqlite)]
    pub storage: Storage,
    /// The same as --storage postgres.
    #[arg(long)]
    pub postgres: bool,
    #[arg(long, value_enum, default_value_t = Kafka::Embedded)]
    pub kafka: Kafka,
    /// Of every service; more than one only on PostgreSQL.
    #[arg(long, default_value_t = 1)]
    pub replicas: usize,
    /// Where the programs of an older version are, to run beside these; ./scripts/faults takes a commit and builds them.
    #[arg(long, value_name = "FOLDER")]
    pub older: Option<PathBuf>,
    /// Kills at failpoints, and a fifth of it at random.
    #[arg(long)]
    pub kills: Option<usize>,
    /// Only failpoints whose names begin so: `relay`, `write.after-commit`, `diagnosis/write`.
    #[arg(long, num_args = 1.., value_name = "POINT")]
    pub points: Vec<String>,
    /// Prints the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the report and what is kept of failed cases go.
    #[arg(long, default_value = "target/faults")]
    pub report: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kafka {
    Embedded,
    Apache,
}

impl Options {
    pub fn storage(&self) -> world::Storage {
        match self.storage {
            Storage::Sqlite if !self.postgres => world::Storage::Sqlite,
            Storage::Sqlite | Storage::Postgres => world::Storage::Postgres,
        }
    }

    pub fn kafka(&self) -> world::Kafka {
        match self.kafka {
            Kafka::Embedded => world::Kafka::Embedded,
            Kafka::Apache => world::Kafka::Apache,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }
}
