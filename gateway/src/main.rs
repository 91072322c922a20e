use std::process::ExitCode;

use clap::Parser;
use gateway::{ABOUT, Config};

/// The one way in to the animal hospital: routes, tokens, limits.
#[derive(Parser)]
#[command(name = "gateway", version, about)]
struct Arguments {
    #[command(flatten)]
    options: chassis::Options,
}

fn main() -> ExitCode {
    let Arguments { options } = Arguments::parse();
    if !options.check_config {
        return chassis::serve(ABOUT, &options, gateway::build);
    }
    // Most that can be wrong here is between settings: a route to a service that is not there.
    chassis::run::command(ABOUT, &options, async |config: Config| {
        gateway::check(&config)?;
        println!("{}: the settings are good", ABOUT.name);
        Ok(ExitCode::SUCCESS)
    })
}
