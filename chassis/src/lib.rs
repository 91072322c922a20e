//! The microservice chassis: what every service of the fleet does the same way, once.
//!
//! A service gives its name, its commented default settings and one `build` function that makes a router;
//! [`run`] does the rest: settings, telemetry, tokens, probes, metrics, serving and a graceful stop.
//! Nothing in here knows what the services are about.

pub mod auth;
pub mod client;
pub mod clock;
pub mod config;
pub mod db;
pub mod events;
pub mod failpoint;
pub mod http;
pub mod lifecycle;
pub mod run;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use auth::Caller;
pub use clock::Clock;
pub use config::{Secret, SettingError};
pub use db::{Db, DbError, Tx};
pub use http::problem::Problem;
pub use lifecycle::Lifecycle;
pub use run::{About, Chassis, Options, StartError, run, serve};
