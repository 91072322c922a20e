use std::process::ExitCode;

use clap::Parser;
use reconcile::{ABOUT, Asked};

/// Compares what all services say of each reservation; exit code 1 if they differ, 2 if not all could be compared.
#[derive(Parser)]
#[command(name = "reconcile", version, about)]
struct CommandLine {
    #[command(flatten)]
    options: chassis::Options,
    #[command(flatten)]
    asked: Asked,
}

fn main() -> ExitCode {
    let CommandLine { options, asked } = CommandLine::parse();
    if options.print_config {
        print!("{}", chassis::config::documented(ABOUT));
        return ExitCode::SUCCESS;
    }
    chassis::run::command(ABOUT, &options, async |config| reconcile::execute(config, asked).await)
}
