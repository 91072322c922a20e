//! Diagnosis: accepts visits by the clinic's policy, keeps the medical records, and follows the reservations.

mod accept;
mod cancel;
mod capacity;
mod change;
pub mod commands;
pub mod config;
mod confirm;
mod date;
pub mod domain;
pub mod error;
pub mod events;
pub mod http;
mod ledger;
mod policy;
pub mod store;
mod treat;

use std::sync::Arc;

use chassis::events::{consumer, dead_letter, relay};
use chassis::http::admission::Places;
use chassis::{About, Chassis, Clock, Db, StartError, auth};
use utoipa_axum::router::OpenApiRouter;

pub use config::Config;

pub const ABOUT: About = About {
    name: "diagnosis",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Accepts visits by the clinic's policy and keeps the medical records of the animal hospital.",
    port: 8083,
    defaults: include_str!("config.toml"),
};

/// What every request and every event works with.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub clinic: Arc<config::Clinic>,
    pub treatment: Arc<config::Treatment>,
    /// A permit for each visit that may be in the making.
    places: Places,
}

impl App {
    pub fn new(db: Db, clock: Clock, config: &Config) -> Self {
        let places = Places::new("visits", config.treatment.max_concurrency.get() as usize);
        Self {
            db,
            clock,
            clinic: Arc::new(config.clinic.clone()),
            treatment: Arc::new(config.treatment.clone()),
            places,
        }
    }
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    let db = chassis.open(&config.database, store::MIGRATIONS).await?;
    let app = App::new(db.clone(), chassis.clock.clone(), &config);
    let handler = events::handler(app.clone());
    relay::start(chassis, &db, &config.kafka)?;
    consumer::start(chassis, &db, &config.kafka, handler.clone())?;
    let api = http::router(app).merge(dead_letter::routes(chassis, &db, handler)).merge(ledger::routes(chassis, &db));
    Ok(auth::protect(&chassis.verifier, api))
}
