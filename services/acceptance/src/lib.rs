//! Bills for treatments: made from the events of treatment, paid, voided or refunded.

mod bill;
mod cancel;
pub mod commands;
pub mod config;
pub mod domain;
mod error;
pub mod events;
mod http;
mod ledger;
mod settle;
pub mod store;

use std::sync::Arc;

use chassis::events::{consumer, dead_letter, relay};
use chassis::http::idempotency;
use chassis::{About, Chassis, Clock, Db, StartError, auth};
use utoipa_axum::router::OpenApiRouter;

pub use config::Config;
use domain::FeeTable;

pub const ABOUT: About = About {
    name: "acceptance",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Bills treatments, and takes and returns their payment.",
    port: 8085,
    defaults: include_str!("config.toml"),
};

/// What every use case works with.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub fees: Arc<FeeTable>,
}

impl App {
    pub fn new(db: Db, clock: Clock, fees: FeeTable) -> Self {
        Self { db, clock, fees: Arc::new(fees) }
    }
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    let db = chassis.open(&config.database, store::MIGRATIONS).await?;
    let app = App::new(db, chassis.clock.clone(), config.fees);
    relay::start(chassis, &app.db, &config.kafka)?;
    consumer::start(chassis, &app.db, &config.kafka, events::handler(&app))?;
    idempotency::start_forgetting(chassis, &app.db);
    Ok(router(chassis, app))
}

pub fn router(chassis: &Chassis, app: App) -> OpenApiRouter {
    let letters = dead_letter::routes(chassis, &app.db, events::handler(&app));
    let ledger = ledger::routes(chassis, &app.db);
    auth::protect(&chassis.verifier, http::routes(app).merge(letters).merge(ledger))
}
