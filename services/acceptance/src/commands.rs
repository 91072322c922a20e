//! What those who run the service do beside it, on its own database.

use std::process::ExitCode;

use chassis::events::{dead_letter, outbox};
use chassis::{Clock, Db, StartError};
use clap::Subcommand;

use crate::{App, Config, events};

#[derive(Subcommand)]
pub enum Command {
    /// Messages that could not be processed
    #[command(subcommand)]
    DeadLetters(dead_letter::Command),
    /// Events that wait to be published
    #[command(subcommand)]
    Outbox(outbox::Command),
}

pub async fn execute(command: Command, config: Config) -> Result<ExitCode, StartError> {
    let db = Db::attach(&config.database).await?;
    match command {
        Command::DeadLetters(command) => {
            let app = App::new(db.clone(), Clock::system(), config.fees);
            command.execute(&db, &events::handler(&app)).await
        }
        Command::Outbox(command) => command.execute(&db).await,
    }
}
