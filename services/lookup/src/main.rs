use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = lookup::ABOUT.name, version = lookup::ABOUT.version, about = lookup::ABOUT.summary)]
struct CommandLine {
    #[command(flatten)]
    options: chassis::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Build the view anew from the topic, with the service stopped.
    Rebuild {
        /// Go on even if the topic no longer has its first messages: what only they told is lost.
        #[arg(long)]
        incomplete: bool,
    },
}

fn main() -> ExitCode {
    let CommandLine { options, command } = CommandLine::parse();
    match command {
        Some(Command::Rebuild { incomplete }) if !options.check_config && !options.print_config => {
            chassis::run::command(lookup::ABOUT, &options, async |config| {
                let rebuilt = lookup::rebuild::rebuild(config, incomplete).await?;
                println!("{rebuilt}");
                Ok(())
            })
        }
        _ => chassis::serve(lookup::ABOUT, &options, lookup::build),
    }
}
