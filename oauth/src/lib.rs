//! Users, clients, tokens and keys: the fleet's authorization server.

pub mod clients;
pub mod commands;
pub mod config;
pub mod directory;
pub mod domain;
pub mod error;
pub mod form;
pub mod guesses;
pub mod http;
pub mod keys;
pub mod passwords;
pub mod refresh;
pub mod secrets;
pub mod store;
pub mod token;
pub mod users;
pub mod users_file;

use std::sync::Arc;
use std::time::Duration;

use chassis::auth::Verifier;
use chassis::config::Auth;
use chassis::http::problem::chain;
use chassis::{About, Chassis, Clock, Db, Lifecycle, StartError};
use utoipa_axum::router::OpenApiRouter;

use crate::config::Config;
use crate::keys::{KeyTimes, Keys};
use crate::passwords::Passwords;
use crate::users_file::UsersFile;

pub const ABOUT: About = About {
    name: "oauth",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Issues the fleet's tokens: users, clients, keys and their rotation.",
    port: 8090,
    defaults: include_str!("config.toml"),
};

const CLEAN_UP_EVERY: Duration = Duration::from_secs(600);

/// Everything a request works with.
#[derive(Clone)]
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub config: Arc<Config>,
    /// Whom the tokens are for.
    pub audience: String,
    pub users: UsersFile,
    pub passwords: Passwords,
    pub keys: Keys,
    pub verifier: Verifier,
}

impl App {
    pub async fn open(config: Config, chassis: &Chassis, db: Db) -> Result<Self, StartError> {
        let auth = &chassis.config.auth;
        // Its own tokens are checked by its own keys: `auth.issuer` is for those who verify from outside.
        let own =
            Auth { issuer: config.issuer.url.clone(), jwks_url: http::jwks_uri(&config.issuer.url), ..auth.clone() };
        let verifier = Verifier::new(&own, chassis.clock.clone())?;
        let times = KeyTimes {
            rotate_after: config.keys.rotate_after.as_millis() as i64,
            publish_before: config.keys.publish_before.as_millis() as i64,
            token_lifetime: config.tokens.access_lifetime.as_millis() as i64,
        };
        let keys = Keys::open(db.clone(), chassis.clock.clone(), times, verifier.clone())
            .await
            .map_err(|error| StartError::Database(chain(&error)))?;
        Ok(Self {
            db,
            clock: chassis.clock.clone(),
            audience: auth.audience.clone(),
            users: UsersFile::open(&config.users.file)?,
            passwords: Passwords::new(config.passwords.concurrent, config.passwords.max_wait),
            config: Arc::new(config),
            keys,
            verifier,
        })
    }
}

pub async fn build(config: Config, chassis: &Chassis) -> Result<OpenApiRouter, StartError> {
    config.check()?;
    // Before the database is made: what is wrong with the users is told first.
    UsersFile::open(&config.users.file)?;
    let db = chassis.open(&config.database, store::MIGRATIONS).await?;
    let app = App::open(config, chassis, db).await?;
    let lifecycle = &chassis.lifecycle;
    lifecycle.spawn_background("keys", app.keys.clone().keep(lifecycle.clone()));
    lifecycle.spawn_background("users", app.users.clone().watch(lifecycle.clone()));
    lifecycle.spawn_background("clean-up", clean_up(app.clone(), lifecycle.clone()));
    Ok(http::router(app))
}

/// Removes what has ended, now and then until the stop.
async fn clean_up(app: App, lifecycle: Lifecycle) -> Result<(), chassis::DbError> {
    loop {
        tokio::select! {
            () = lifecycle.stopping() => return Ok(()),
            () = tokio::time::sleep(CLEAN_UP_EVERY) => {}
        }
        let now = app.clock.now_ms();
        let window = app.config.passwords.guess_window.as_millis() as i64;
        if let Err(error) = store::clean_up(&app.db, now, now - window).await {
            tracing::warn!(error = chain(&error), "what has ended could not be removed; it is tried again later");
        }
    }
}
