//! What the test in a cluster runs inside it, because only there the Services have names and the network policies
//! hold.

mod connect;
mod hospital;
mod load;
mod visit;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use hospital::Hospital;

#[derive(Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play the story of a visit and say what does not happen.
    Visit(Way),
    /// Send requests at a constant rate until stopped; a line of JSON each second.
    Load {
        #[command(flatten)]
        way: Way,
        /// Requests a second, whether the answers come or not.
        #[arg(long, default_value_t = 40)]
        rate: u32,
    },
    /// Users who reserve one visit after another; prints what became of them.
    Siege {
        #[command(flatten)]
        way: Way,
        #[arg(long, default_value_t = 100)]
        users: u32,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Try to connect to each address and say whether it can be reached.
    Connect {
        addresses: Vec<String>,
        /// Seconds to wait before.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}

/// How the hospital is reached.
#[derive(Args, Clone)]
struct Way {
    #[arg(long, default_value = "http://gateway:8080")]
    gateway: String,
    #[arg(long, default_value = "customer")]
    user: String,
    #[arg(long, default_value = "local-customer")]
    password: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Visit(way) => visit::play(&Hospital::new(way)).await.map(|()| println!("the visit went as it should")),
        Command::Load { way, rate } => load::constant(Hospital::new(way), rate).await,
        Command::Siege { way, users, seconds } => load::siege(Hospital::new(way), users, seconds).await,
        Command::Connect { addresses, after } => {
            connect::try_all(&addresses, Duration::from_secs(after)).await;
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster-client: {error}");
            ExitCode::FAILURE
        }
    }
}
