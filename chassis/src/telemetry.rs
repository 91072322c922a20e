//! Logs, metrics and traces, set up once per process.
//!
//! Logs are sentences with dotted fields: text on a terminal, one JSON object a line otherwise.
//! A name, a phone number or a token never goes in; an error means that someone must act.

pub mod export;
pub mod measure;
pub mod span;

use std::convert::Infallible;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat, SettingError};
use crate::{About, Lifecycle};

pub use measure::Measurements;
pub use span::{Kind, Span};

/// Upper bounds in seconds: from a cache hit to the longest call the fleet waits for.
const LATENCY_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

pub fn init_logs(log: &Log) -> Result<(), SettingError> {
    let filter: Targets = log.level.parse().map_err(|error| SettingError::new("log.level", error))?;
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    // A second subscriber in one process is a test's; the first one stays.
    let already_set = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    if let Err(error) = already_set {
        tracing::debug!(%error, "logs were set up before");
    }
    Ok(())
}

/// What histograms have taken in is added up so often, also where nobody asks for it: until then it is kept one by one.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

/// Makes the process's metrics recorder; a test's second one records nothing and renders empty.
pub fn init_metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("metrics were set up before");
    }
    Ok(handle)
}

/// Says which process this is and since when, and keeps the histograms small.
pub fn start_metrics(about: About, lifecycle: &Lifecycle, metrics: PrometheusHandle) {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(started.as_secs_f64());
    metrics::gauge!("build_info", "service" => about.name, "version" => about.version).set(1.0);
    let stopping = lifecycle.clone();
    lifecycle.spawn_background("metrics", async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ADD_UP_EVERY) => metrics.run_upkeep(),
                () = stopping.stopping() => return Ok::<(), Infallible>(()),
            }
        }
    });
}
