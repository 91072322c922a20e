//! Reservations and their life cycle: reserve, change, cancel.

mod cancel;
mod change;
pub mod commands;
pub mod config;
mod diagnosis;
pub mod domain;
mod error;
mod events;
mod http;
mod ledger;
mod reconcile;
mod reserve;
pub mod store;

use chassis::client::{ClientSettings, Credentials};
use chassis::http::idempotency;
use chassis::{About, Chassis, Clock, Db, Lifecycle, SettingError, StartError, auth};
use utoipa_axum::router::OpenApiRouter;

pub use config::Config;
pub use diagnosis::Diagnosis;

pub const ABOUT: About = About {
    name: "reservation",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Reserves, changes and cancels visits to the animal hospital.",
    port: 8081,
    defaults: include_str!("config.toml"),
};

/// What every use case works with.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub lifecycle: Lifecycle,
    pub diagnosis: Diagnosis,
}

impl App {
    pub fn new(
        chassis: &Chassis,
        db: Db,
        diagnosis: ClientSettings,
        credentials: Option<Credentials>,
    ) -> Result<Self, SettingError> {
        Ok(Self {
            db,
            clock: chassis.clock.clone(),
            lifecycle: chassis.lifecycle.clone(),
            diagnosis: Diagnosis::new(diagnosis, credentials)?,
        })
    }
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    let db = chassis.open(&config.database, store::MIGRATIONS).await?;
    chassis::events::relay::start(chassis, &db, &config.kafka)?;
    let app = App::new(chassis, db, config.diagnosis, Credentials::new(config.credentials))?;
    let measured = app.clone();
    chassis.measurements.add(move || reconcile::measure(measured.clone()));
    reconcile::start(&app);
    idempotency::start_forgetting(chassis, &app.db);
    Ok(router(chassis, app))
}

pub fn router(chassis: &Chassis, app: App) -> OpenApiRouter {
    let ledger = ledger::routes(chassis, &app.db);
    auth::protect(&chassis.verifier, http::routes(app).merge(ledger))
}

/// Settles once what diagnosis has not answered; the background task does this every second.
pub async fn settle_waiting(app: &App) -> Result<usize, chassis::DbError> {
    reconcile::settle_waiting(app).await
}
