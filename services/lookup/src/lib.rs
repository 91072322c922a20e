//! The view of each reservation's current state and history, kept from the events of all services alone.

mod changeover;
pub mod commands;
mod conditional;
pub mod config;
pub mod domain;
mod error;
mod events;
mod http;
mod ledger;
mod normal;
mod query;
pub mod rebuild;
mod search;
pub mod store;

use chassis::events::{Handler, consumer, dead_letter};
use chassis::{About, Chassis, Db, StartError, auth};
use utoipa_axum::router::OpenApiRouter;

pub use config::Config;

pub const ABOUT: About = About {
    name: "lookup",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Shows the current state and the history of each reservation.",
    port: 8084,
    defaults: include_str!("config.toml"),
};

/// What the routes work with.
#[derive(Clone)]
pub struct App {
    pub db: Db,
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    let db = chassis.open(&config.database, store::MIGRATIONS).await?;
    consumer::start(chassis, &db, &config.kafka, handler())?;
    Ok(router(chassis, App { db }))
}

pub fn router(chassis: &Chassis, app: App) -> OpenApiRouter {
    let parked = dead_letter::routes(chassis, &app.db, handler());
    let ledger = ledger::routes(chassis, &app.db);
    auth::protect(&chassis.verifier, http::routes(app).merge(parked).merge(ledger))
}

/// What a message does to the view.
pub fn handler() -> Handler {
    events::handler()
}
