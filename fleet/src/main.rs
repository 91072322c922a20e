//! The local launcher of the animal hospital.

mod backoff;
mod broker;
mod cli;
mod commands;
mod control;
mod credentials;
mod demo;
mod folder;
mod http;
mod logs;
mod name;
mod observe;
mod plan;
mod ports;
mod process;
mod reconcile;
mod settings;
mod status;
mod supervisor;
mod table;
#[cfg(test)]
mod testing;
mod token;
mod up;

use std::{error::Error, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // One thread is enough, and more would cost memory; tansu's codecs ask for blocking ones.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("fleet: {}", chain(&*failure.error));
            ExitCode::from(failure.code)
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
