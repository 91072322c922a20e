//! Acceptance as its neighbours see it: events come in, requests come in, events go out.

use std::sync::Arc;

use acceptance::{ABOUT, App, Config, events, router, store};
use axum::http::Method;
use chassis::Db;
use chassis::config::Settings;
use chassis::events::{Message, consumer};
use chassis::http::server::Service;
use chassis::testing::{self, Published, Rig, TestAnswer, TestRequest};
use contracts::roles::{ADMIN, CUSTOMER, DESK, SERVICE, VET};
use serde_json::Value;

pub const TREATED: &str = include_str!("../../../../contracts/golden/treated.json");
pub const TREATMENT_CANCELED: &str = include_str!("../../../../contracts/golden/treatment_canceled.json");
pub const RESERVATION_CANCELED: &str = include_str!("../../../../contracts/golden/reservation_canceled.json");
pub const FEE_BILLED: &str = include_str!("../../../../contracts/golden/treatment_fee_billed.json");
pub const FEE_ACCEPTED: &str = include_str!("../../../../contracts/golden/treatment_fee_accepted.json");
pub const FEE_CANCELED: &str = include_str!("../../../../contracts/golden/treatment_fee_canceled.json");

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn config(overrides: &[(&str, &str)]) -> Result<Config, String> {
    let overrides: Vec<_> = overrides.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let settings = Settings::load(ABOUT, None, &overrides, |_| None).map_err(|error| error.to_string())?;
    settings.typed().map_err(|error| error.to_string())
}

pub struct Acceptance {
    rig: Rig,
    service: Service,
    pub app: App,
}

impl Acceptance {
    pub async fn new() -> Self {
        Self::with(testing::sqlite(store::MIGRATIONS).await, &[])
    }

    pub async fn on_each_database() -> Vec<Self> {
        let databases = testing::databases(store::MIGRATIONS).await;
        databases.into_iter().map(|db| Self::with(db, &[])).collect()
    }

    pub fn with(db: Db, overrides: &[(&str, &str)]) -> Self {
        let rig = Rig::new(ABOUT);
        let fees = Arc::new(config(overrides).unwrap().fees);
        let app = App { db, clock: rig.chassis.clock.clone(), fees };
        let service = rig.serve(router(&rig.chassis, app.clone()));
        Self { rig, service, app }
    }

    /// Our own diagnosis says so, as its first, second, … event of the reservation.
    pub async fn hears(&self, source: &str, sequence: i64, payload: &str) {
        let payload = json(payload);
        let reservation = payload["reservationId"].as_i64().or(payload["id"].as_i64()).unwrap();
        self.takes_in(testing::message(source, &reservation.to_string(), sequence, &payload)).await;
    }

    pub async fn takes_in(&self, message: Message) {
        consumer::take_in(&self.app.db, &events::handler(&self.app), &[message].into()).await.unwrap();
    }

    /// The bill of the example treatment: reservation 1, of `customer-1`.
    pub async fn bills_a_treatment(&self) {
        self.hears("/diagnosis", 1, TREATED).await;
    }

    pub async fn published(&self) -> Vec<Published> {
        testing::outbox(&self.app.db).await
    }

    pub async fn published_types(&self) -> Vec<String> {
        self.published().await.into_iter().map(|event| event.event_type).collect()
    }

    pub fn as_role(&self, role: &str, method: Method, path: &str) -> TestRequest {
        self.as_someone("someone", role, method, path)
    }

    pub fn as_customer(&self, subject: &str, method: Method, path: &str) -> TestRequest {
        self.as_someone(subject, CUSTOMER, method, path)
    }

    fn as_someone(&self, subject: &str, role: &str, method: Method, path: &str) -> TestRequest {
        assert!([CUSTOMER, DESK, VET, ADMIN, SERVICE].contains(&role));
        testing::request(&self.service, method, path).bearer(&self.rig.issuer.token(subject, &[role]))
    }

    pub fn as_nobody(&self, method: Method, path: &str) -> TestRequest {
        testing::request(&self.service, method, path)
    }

    pub async fn desk_gets(&self, path: &str) -> TestAnswer {
        self.as_role(DESK, Method::GET, path).send().await
    }

    pub async fn desk_posts(&self, path: &str) -> TestAnswer {
        self.as_role(DESK, Method::POST, path).send().await
    }
}
