//! The fault campaign's command.

use std::process::ExitCode;

use clap::Parser;
use faults::campaign;
use faults::cases::CASES;
use faults::cli::{Command, CommandLine};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let CommandLine { options, command } = CommandLine::parse();
    if options.list {
        CASES.iter().for_each(|case| println!("{:<24} {}", case.name, case.about));
        return ExitCode::SUCCESS;
    }
    let outcome = match command {
        Some(Command::Plant { names }) => faults::plant::run(&names).await,
        None => campaign::run(&options).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
