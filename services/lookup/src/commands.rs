//! What those who run the service do beside it, on its own database.

use std::process::ExitCode;

use chassis::events::dead_letter;
use chassis::{Db, StartError};
use clap::Subcommand;

use crate::{Config, handler, rebuild};

#[derive(Subcommand)]
pub enum Command {
    /// Messages that could not be processed
    #[command(subcommand)]
    DeadLetters(dead_letter::Command),
    /// Build the view anew from the topic, while the service goes on
    Rebuild(rebuild::Wanted),
}

pub async fn execute(command: Command, config: Config) -> Result<ExitCode, StartError> {
    match command {
        Command::DeadLetters(command) => command.execute(&Db::attach(&config.database).await?, &handler()).await,
        Command::Rebuild(wanted) => rebuild::execute(config, wanted).await,
    }
}
