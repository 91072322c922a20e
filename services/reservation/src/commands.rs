//! What those who run the service do beside it, on its own database.

use std::process::ExitCode;

use chassis::events::outbox;
use chassis::{Db, StartError};
use clap::Subcommand;

use crate::Config;

#[derive(Subcommand)]
pub enum Command {
    /// Events that wait to be published
    #[command(subcommand)]
    Outbox(outbox::Command),
}

pub async fn execute(command: Command, config: Config) -> Result<ExitCode, StartError> {
    let db = Db::attach(&config.database).await?;
    match command {
        Command::Outbox(command) => command.execute(&db).await,
    }
}
