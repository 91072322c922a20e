//! For tests: databases that begin empty, tokens, and requests through the real router.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::Value;
use sqlx::Row;
use tower::ServiceExt;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::{Claims, Verifier};
use crate::config::{ChassisConfig, Database, Settings};
use crate::db::{Dialect, Migration};
use crate::events::Message;
use crate::http::server;
use crate::http::server::Service;
use crate::telemetry::Measurements;
use crate::{About, Chassis, Clock, Db, Lifecycle, Secret};

/// Set by the test script; without it only SQLite is tested.
const POSTGRES: &str = "TEST_POSTGRES_URL";

/// When a test's clock stands still, it is this moment.
pub const NOW: &str = "2026-11-21T09:00:00Z";

/// The databases a store test runs on, each new and empty.
pub async fn databases(migrations: &[Migration]) -> Vec<Db> {
    let mut databases = vec![sqlite(migrations).await];
    if std::env::var(POSTGRES).is_ok() {
        databases.push(postgres(migrations).await);
    }
    databases
}

pub async fn sqlite(migrations: &[Migration]) -> Db {
    open(format!("sqlite:{}/{}.db", std::env::temp_dir().display(), unique_name()), migrations).await
}

pub async fn postgres(migrations: &[Migration]) -> Db {
    let server = std::env::var(POSTGRES).unwrap_or_default();
    open(format!("{server}/{}", unique_name()), migrations).await
}

async fn open(url: String, migrations: &[Migration]) -> Db {
    let settings = Database { url: Secret::new(url), password: Secret::default(), max_connections: 5 };
    match Db::open(&settings, migrations).await {
        Ok(db) => db,
        Err(error) => panic!("a test database: {error}"),
    }
}

/// The settings that open the same database.
pub async fn settings(db: &Db) -> Database {
    let url = match db.dialect() {
        Dialect::Sqlite => {
            let row = sqlx::query("PRAGMA database_list").fetch_one(db.reader()).await;
            row.map(|row| format!("sqlite:{}", row.get::<String, _>(2)))
        }
        Dialect::Postgres => {
            let row = sqlx::query("SELECT CAST(current_database() AS TEXT)").fetch_one(db.reader()).await;
            row.map(|row| format!("{}/{}", std::env::var(POSTGRES).unwrap_or_default(), row.get::<String, _>(0)))
        }
    };
    let url = url.unwrap_or_else(|error| panic!("the name of a test database: {error}"));
    Database { url: Secret::new(url), password: Secret::default(), max_connections: 1 }
}

/// The same database as a command opens it, beside the service.
pub async fn attached(db: &Db) -> Db {
    let attached = Db::attach(&settings(db).await).await;
    attached.unwrap_or_else(|error| panic!("a test database: {error}"))
}

fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let random = rand::random::<u32>();
    format!("test_{}_{}_{random}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Issues tokens that the verifier of [`Rig::chassis`] accepts.
pub struct Issuer {
    key: EncodingKey,
    issuer: String,
    audience: String,
    now: i64,
}

impl Issuer {
    pub fn token(&self, subject: &str, roles: &[&str]) -> String {
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: subject.to_owned(),
            aud: self.audience.clone(),
            exp: self.now + 3600,
            nbf: self.now,
            iat: self.now,
            jti: unique_name(),
            client_id: "test".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        self.sign(&claims)
    }

    /// A token that says whatever the test wants it to say.
    pub fn sign(&self, claims: &impl serde::Serialize) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("test".to_owned());
        encode(&header, claims, &self.key).unwrap_or_else(|error| panic!("a test token: {error}"))
    }
}

/// A service in a test: its chassis without sockets, its issuer, and its router once it is built.
pub struct Rig {
    pub chassis: Chassis,
    pub issuer: Issuer,
}

impl Rig {
    pub fn new(about: About) -> Self {
        Self::with(about, &[])
    }

    /// With settings of the chassis changed, for example `("auth.mode", "open")`.
    pub fn with(about: About, overrides: &[(&str, &str)]) -> Self {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config: ChassisConfig = Settings::load(about, None, &overrides, |_| None)
            .and_then(|settings| Ok(settings.typed()?))
            .unwrap_or_else(|error| panic!("test settings: {error}"));
        let now: Timestamp = NOW.parse().unwrap_or_default();
        let clock = Clock::fixed(now);
        let (key, keys) = signing_key();
        let issuer = Issuer {
            key,
            issuer: config.auth.issuer.clone(),
            audience: config.auth.audience.clone(),
            // Not-before is checked by the system's clock.
            now: now.as_second().min(Timestamp::now().as_second()),
        };
        let verifier = Verifier::new(&config.auth, clock.clone()).unwrap_or_else(|error| panic!("{error}"));
        verifier.install_keys(&keys);
        let chassis = Chassis {
            about,
            config,
            lifecycle: Lifecycle::default(),
            clock,
            verifier,
            measurements: Measurements::default(),
        };
        Self { chassis, issuer }
    }

    /// The service as it would be served.
    pub fn serve(&self, api: OpenApiRouter) -> Service {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        server::service(&self.chassis, api, recorder.handle())
    }
}

fn signing_key() -> (EncodingKey, JwkSet) {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .unwrap_or_else(|error| panic!("a test key: {error}"));
    let key = EncodingKey::from_ec_der(document.as_ref());
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap_or_else(|error| panic!("a test key: {error}"));
    jwk.common.key_id = Some("test".to_owned());
    (key, JwkSet { keys: vec![jwk] })
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct TestAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl TestAnswer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The names of the fields that a problem complains about.
    pub fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().filter_map(|error| error["field"].as_str().map(str::to_owned)).collect()
    }
}

/// A request in the making, sent through the whole service.
pub struct TestRequest {
    service: Service,
    request: Request<Body>,
}

pub fn request(service: &Service, method: Method, path: &str) -> TestRequest {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "fleet.test")
        .body(Body::empty())
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    TestRequest { service: service.clone(), request }
}

impl TestRequest {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        self.request.headers_mut().insert(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    pub async fn send(self) -> TestAnswer {
        let response = match self.service.oneshot(self.request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        TestAnswer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

/// An event that waits in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub event_type: String,
    pub key: String,
    pub sequence: i64,
    pub payload: Value,
}

/// What a service would publish, in order.
pub async fn outbox(db: &Db) -> Vec<Published> {
    let rows = sqlx::query("SELECT event_type, message_key, sequence, payload FROM outbox ORDER BY id")
        .fetch_all(db.reader())
        .await
        .unwrap_or_else(|error| panic!("the outbox: {error}"));
    rows.iter()
        .map(|row| Published {
            event_type: row.get(0),
            key: row.get(1),
            sequence: row.get(2),
            payload: serde_json::from_str(row.get::<&str, _>(3)).unwrap_or_default(),
        })
        .collect()
}

/// A message as our own services publish it.
pub fn message(source: &str, key: &str, sequence: i64, payload: &Value) -> Message {
    static OFFSET: AtomicU32 = AtomicU32::new(0);
    let header = |name: &str, value: String| (name.to_owned(), value);
    Message {
        topic: "events".to_owned(),
        partition: 0,
        offset: i64::from(OFFSET.fetch_add(1, Ordering::Relaxed)),
        key: Some(key.to_owned()),
        headers: vec![
            header("ce_id", format!("{key}-{sequence}")),
            header("ce_source", source.to_owned()),
            header("ce_sequence", sequence.to_string()),
        ],
        payload: payload.to_string().into_bytes(),
    }
}

/// A message as the original services publish it: no key, no headers that we read.
pub fn foreign_message(offset: i64, payload: &str) -> Message {
    Message {
        topic: "events".to_owned(),
        partition: 0,
        offset,
        key: None,
        headers: Vec::new(),
        payload: payload.as_bytes().to_vec(),
    }
}
