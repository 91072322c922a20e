//! From `main` to exit code: command line, settings, telemetry, `build`, serve, graceful stop.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use utoipa_axum::router::OpenApiRouter;

use crate::auth::Verifier;
use crate::config::{self, ChassisConfig, ConfigError, Database, Settings};
use crate::db::{Db, DbError, Migration};
use crate::http::problem::chain;
use crate::http::server;
use crate::lifecycle::stop_signal;
use crate::telemetry::{self, Measurements};
use crate::{Clock, Lifecycle, SettingError, failpoint};

/// What blocking calls get at the very end, when all that was promised is done.
const LAST_WORDS: Duration = Duration::from_secs(1);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a service says of itself.
#[derive(Clone, Copy)]
pub struct About {
    pub name: &'static str,
    pub version: &'static str,
    /// One sentence for `--help` and the OpenAPI document.
    pub summary: &'static str,
    /// Where it listens on a developer's machine, unless `http.port` says otherwise.
    pub port: u16,
    /// Its commented default settings, in TOML.
    pub defaults: &'static str,
}

/// The command line that every service has.
#[derive(Parser, Debug, Clone, Default)]
pub struct Options {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Override one setting, for example `--set http.port=8081`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value, global = true)]
    pub overrides: Vec<(String, String)>,
    /// Read and check the settings, then exit.
    #[arg(long)]
    pub check_config: bool,
    /// Print all settings with their meaning and defaults, then exit.
    #[arg(long)]
    pub print_config: bool,
    /// Ask the service that runs with these settings whether it is ready, then exit; for images without a shell.
    #[arg(long)]
    pub healthcheck: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What a service's `build` works with.
#[derive(Clone)]
pub struct Chassis {
    pub about: About,
    pub config: ChassisConfig,
    pub lifecycle: Lifecycle,
    pub clock: Clock,
    pub verifier: Verifier,
    pub measurements: Measurements,
}

impl Chassis {
    /// Opens the service's own database. It is closed in order when everything else has ended.
    pub async fn open(&self, settings: &Database, migrations: &[Migration]) -> Result<Db, StartError> {
        let db = Db::open(settings, migrations).await?;
        self.lifecycle.close_at_end(db.clone());
        let measured = db.clone();
        self.measurements.add(move || measured.clone().measure());
        Ok(db)
    }
}

/// Why a service did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address}: {source}; another program has it, or set http.port (HTTP_PORT) to a free one")]
    Listen { address: String, source: std::io::Error },
    #[error("database: {0}")]
    Database(String),
    #[error("{0}")]
    Other(String),
}

/// What a command meets in the database of a service that runs.
impl From<DbError> for StartError {
    fn from(error: DbError) -> Self {
        Self::Database(chain(&error))
    }
}

impl StartError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Setting(_) | Self::Config(_) => exit::BAD_SETTING,
            Self::Listen { .. } | Self::Database(_) | Self::Other(_) => exit::COULD_NOT_START,
        }
    }
}

/// Exit codes, after `sysexits.h`; a wrong command line is 2, a command that found nothing or failed in part is 1.
pub mod exit {
    pub const COULD_NOT_START: u8 = 69;
    pub const CRASHED: u8 = 70;
    pub const BAD_SETTING: u8 = 78;
}

#[derive(Parser)]
struct CommandLine<S: Subcommand> {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<S>,
}

/// The whole `main` of a service: it serves, or executes a command beside the service that runs.
pub fn run<C, S, B, E>(about: About, build: B, execute: E) -> ExitCode
where
    C: DeserializeOwned,
    S: Subcommand,
    B: AsyncFnOnce(C, &Chassis) -> Result<OpenApiRouter, StartError>,
    E: AsyncFnOnce(S, C) -> Result<ExitCode, StartError>,
{
    let line = CommandLine::<S>::command().name(about.name).version(about.version).about(about.summary);
    let line = CommandLine::<S>::from_arg_matches(&line.get_matches()).unwrap_or_else(|error| error.exit());
    let CommandLine { options, command: wanted } = line;
    match wanted.filter(|_| !options.check_config && !options.print_config) {
        Some(wanted) => command(about, &options, async |config| execute(wanted, config).await),
        None => serve(about, &options, build),
    }
}

/// Serves until a stop is asked for, and says how it went.
pub fn serve<C, F>(about: About, options: &Options, build: F) -> ExitCode
where
    C: DeserializeOwned,
    F: AsyncFnOnce(C, &Chassis) -> Result<OpenApiRouter, StartError>,
{
    if options.print_config {
        print!("{}", config::documented(about));
        return ExitCode::SUCCESS;
    }
    let outcome = if options.healthcheck { ask_health(about, options) } else { try_serve(about, options, build) };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {error}", about.name);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs a command instead of serving, with the same settings, logs and exit codes.
pub fn command<C, F>(about: About, options: &Options, work: F) -> ExitCode
where
    C: DeserializeOwned,
    F: AsyncFnOnce(C) -> Result<ExitCode, StartError>,
{
    let outcome = load::<C>(about, options).and_then(|(config, own)| {
        telemetry::init_logs(&config.log)?;
        failpoint::arm()?;
        to_its_end(work(own))
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("{}: {error}", about.name);
        ExitCode::from(error.exit_code())
    })
}

/// What a command says: to a program or to a person.
pub fn print(json: bool, outcome: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), StartError> {
    let said = match json {
        true => serde_json::to_string_pretty(outcome).map_err(|error| StartError::Other(error.to_string()))?,
        false => text(),
    };
    match writeln!(std::io::stdout(), "{said}") {
        // Whoever reads, `head` for one, has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| StartError::Other(error.to_string())),
    }
}

fn try_serve<C, F>(about: About, options: &Options, build: F) -> Result<ExitCode, StartError>
where
    C: DeserializeOwned,
    F: AsyncFnOnce(C, &Chassis) -> Result<OpenApiRouter, StartError>,
{
    let (config, own) = load::<C>(about, options)?;
    telemetry::init_logs(&config.log)?;
    if options.check_config {
        println!("{}: the settings are good", about.name);
        return Ok(ExitCode::SUCCESS);
    }
    failpoint::arm()?;
    to_its_end(live(about, config, own, build))
}

fn ask_health(about: About, options: &Options) -> Result<ExitCode, StartError> {
    let (config, _) = load::<IgnoredAny>(about, options)?;
    let url = format!("http://127.0.0.1:{}/actuator/health/readiness", config.http.port);
    to_its_end(async {
        let request = reqwest::Client::new().get(url).timeout(HEALTH_TIMEOUT);
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.map(|_| ExitCode::SUCCESS).map_err(|error| StartError::Other(chain(&error)))
    })
}

/// One thread: a small service gains nothing from more, and each costs memory.
fn to_its_end<T>(work: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Other(error.to_string()))?;
    let outcome = runtime.block_on(work);
    // A call that still waits for a broker or a name server must not hold the process back.
    runtime.shutdown_timeout(LAST_WORDS);
    outcome
}

/// The settings of a service: the chassis's and its own.
pub fn load<C: DeserializeOwned>(about: About, options: &Options) -> Result<(ChassisConfig, C), StartError> {
    let environment = |name: &str| std::env::var(name).ok();
    let settings = Settings::load(about, options.config.as_deref(), &options.overrides, environment)?;
    Ok((settings.typed()?, settings.typed()?))
}

async fn live<C, F>(about: About, config: ChassisConfig, own: C, build: F) -> Result<ExitCode, StartError>
where
    F: AsyncFnOnce(C, &Chassis) -> Result<OpenApiRouter, StartError>,
{
    let lifecycle = Lifecycle::default();
    let metrics = telemetry::init_metrics().map_err(|error| StartError::Other(error.to_string()))?;
    // The port is taken before anything else is touched: a second start by mistake ends here.
    let listener = server::listen(&config.http).await?;
    let clock = Clock::system();
    let verifier = Verifier::new(&config.auth, clock.clone())?;
    let chassis = Chassis { about, config, lifecycle, clock, verifier, measurements: Measurements::default() };
    telemetry::start_metrics(about, &chassis.lifecycle, metrics.clone());
    telemetry::export::start(about, &chassis.lifecycle, &chassis.config.telemetry)?;

    // The first process of a container hears no signal that it does not listen to, and a build may wait for a server.
    let api = tokio::select! {
        built = build(own, &chassis) => built?,
        _ = stop_signal() => return Ok(ExitCode::SUCCESS),
    };
    let service = server::service(&chassis, api, metrics);
    tracing::info!(service.name = about.name, service.version = about.version, server.address = %listener.address, "ready");

    server::until_stopped(&chassis, listener, service).await?;
    if chassis.lifecycle.has_crashed() {
        return Ok(ExitCode::from(exit::CRASHED));
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
