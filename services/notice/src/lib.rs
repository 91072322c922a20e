//! Messages to customers: one for each change of state, sent through a channel until it has arrived.

mod channel;
pub mod commands;
pub mod config;
pub mod domain;
mod error;
pub mod events;
mod http;
mod ledger;
mod mask;
mod note;
pub mod sender;
pub mod store;
pub mod template;

use std::sync::Arc;

use chassis::events::{consumer, dead_letter};
use chassis::{About, Chassis, Clock, Db, StartError, auth};
use tokio::sync::Notify;
use utoipa_axum::router::OpenApiRouter;

pub use config::Config;
use sender::Sender;
use template::Templates;

pub const ABOUT: About = About {
    name: "notice",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Tells customers of each change of their reservation.",
    port: 8082,
    defaults: include_str!("config.toml"),
};

/// What every use case works with.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub templates: Arc<Templates>,
    /// Rung when there is something to send.
    pub bell: Arc<Notify>,
}

impl App {
    pub fn new(db: Db, clock: Clock, templates: Templates) -> Self {
        Self { db, clock, templates: Arc::new(templates), bell: Arc::new(Notify::new()) }
    }
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    let db = chassis.open(&config.database, store::MIGRATIONS).await?;
    let app = App::new(db, chassis.clock.clone(), config.templates);
    let sender = Sender::new(&app, &chassis.lifecycle, config.channel)?;
    let measured = app.clone();
    chassis.measurements.add(move || measure(measured.clone()));
    chassis.lifecycle.spawn_background("sender", sender.run());
    consumer::start(chassis, &app.db, &config.kafka, events::handler(&app))?;
    Ok(router(chassis, app))
}

/// What still waits for its channel or its recipient.
async fn measure(app: App) {
    let unsent = match store::unsent(&app.db).await {
        Ok(unsent) => unsent,
        Err(error) => return tracing::debug!(%error, "notices cannot be counted"),
    };
    let age_ms = unsent.oldest.map_or(0, |oldest| (app.clock.now_ms() - oldest).max(0));
    metrics::gauge!("notices_pending").set(unsent.pending as f64);
    metrics::gauge!("notices_pending_oldest_age_seconds").set(age_ms as f64 / 1000.0);
    metrics::gauge!("notices_without_recipient").set(unsent.waiting as f64);
}

pub fn router(chassis: &Chassis, app: App) -> OpenApiRouter {
    let letters = dead_letter::routes(chassis, &app.db, events::handler(&app));
    let ledger = ledger::routes(chassis, &app.db);
    auth::protect(&chassis.verifier, http::routes(app).merge(letters).merge(ledger))
}
