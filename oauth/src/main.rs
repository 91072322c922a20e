use std::process::ExitCode;

use clap::Parser;
use oauth::commands::{Command, execute};

/// Issues the fleet's tokens. Without a command it serves.
#[derive(Parser)]
#[command(name = "oauth", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: chassis::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(command) => execute(command),
        None => chassis::serve(oauth::ABOUT, &arguments.options, oauth::build),
    }
}
