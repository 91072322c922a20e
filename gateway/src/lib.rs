//! The one way in: routes by configuration, tokens checked, limits kept, everything else passed on as it is.

pub mod config;
mod cors;
mod error;
mod headers;
mod http;
mod limits;
mod openapi;
mod proxy;
mod routes;
mod upload;

use std::sync::Arc;

use chassis::auth::Verifier;
use chassis::{About, Chassis, SettingError, StartError};
use utoipa_axum::router::OpenApiRouter;

pub use config::Config;

use cors::Cors;
use limits::RateLimit;
use proxy::Client;
use routes::Route;

pub const ABOUT: About = About {
    name: "gateway",
    version: env!("CARGO_PKG_VERSION"),
    summary: "The one way in to the animal hospital: routes, tokens, limits.",
    port: 8088,
    defaults: include_str!("config.toml"),
};

/// What every request works with.
pub struct App {
    verifier: Verifier,
    client: Client,
    rate_limit: RateLimit,
    cors: Cors,
    trust_forwarded: bool,
    routes: Vec<Arc<Route>>,
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    Ok(router(config, chassis)?)
}

pub fn router(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, SettingError> {
    let app = App {
        verifier: chassis.verifier.clone(),
        client: proxy::client(&config.proxy),
        rate_limit: RateLimit::new(&config.rate_limit)?,
        cors: Cors::new(&config.cors)?,
        trust_forwarded: config.forwarded.trust,
        routes: routes::parse(&config)?,
    };
    Ok(http::routes(Arc::new(app)))
}

/// Whether a gateway can be made of these settings.
pub fn check(config: &Config) -> Result<(), SettingError> {
    RateLimit::new(&config.rate_limit)?;
    Cors::new(&config.cors)?;
    routes::parse(config)?;
    Ok(())
}
