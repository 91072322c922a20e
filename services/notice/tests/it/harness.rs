//! Notice as its neighbours see it: events come in, messages go out, requests are answered.

use std::sync::Arc;

use axum::http::Method;
use chassis::config::Settings;
use chassis::events::{Message, consumer};
use chassis::http::server::Service;
use chassis::testing::{self, Rig, TestAnswer, TestRequest};
use chassis::{Db, DbError};
use contracts::roles::{CUSTOMER, DESK};
use notice::sender::Sender;
use notice::{ABOUT, App, Config, events, router, store};
use serde_json::Value;
use sqlx::AssertSqlSafe;

pub const RESERVED: &str = include_str!("../../../../contracts/golden/reservation_reserved.json");
pub const CHANGED: &str = include_str!("../../../../contracts/golden/reservation_changed.json");
pub const CHANGE_ABANDONED: &str = include_str!("../../../../contracts/golden/reservation_change_abandoned.json");
pub const RESERVATION_CANCELED: &str = include_str!("../../../../contracts/golden/reservation_canceled.json");
pub const TREATED: &str = include_str!("../../../../contracts/golden/treated.json");
pub const TREATMENT_CANCELED: &str = include_str!("../../../../contracts/golden/treatment_canceled.json");
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

pub struct Notices {
    pub rig: Rig,
    service: Service,
    pub app: App,
}

impl Notices {
    pub async fn new() -> Self {
        Self::on(testing::sqlite(store::MIGRATIONS).await)
    }

    pub async fn on_each_database() -> Vec<Self> {
        testing::databases(store::MIGRATIONS).await.into_iter().map(Self::on).collect()
    }

    fn on(db: Db) -> Self {
        let rig = Rig::new(ABOUT);
        let templates = Arc::new(config(&[]).unwrap().templates);
        let app = App { db, clock: rig.chassis.clock.clone(), templates, bell: Arc::default() };
        let service = rig.serve(router(&rig.chassis, app.clone()));
        Self { rig, service, app }
    }

    /// A sender with these settings of the channel.
    pub fn sender(&self, channel: &[(&str, &str)]) -> Sender {
        Sender::new(&self.app, &self.rig.chassis.lifecycle, config(channel).unwrap().channel).unwrap()
    }

    /// A service of ours says so, as its first, second, … event of the reservation.
    pub async fn hears(&self, source: &str, sequence: i64, payload: &str) {
        let payload = json(payload);
        let reservation = payload["reservationId"].as_i64().or(payload["id"].as_i64()).unwrap();
        self.takes_in(testing::message(source, &reservation.to_string(), sequence, &payload)).await;
    }

    pub async fn takes_in(&self, message: Message) {
        consumer::take_in(&self.app.db, &events::handler(&self.app), &[message].into()).await.unwrap();
    }

    /// Something happens to its database.
    pub async fn executes(&self, statement: impl Into<String>) {
        let statement = statement.into();
        let executed = self.app.db.write(move |tx| {
            Box::pin(async move {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut **tx).await?;
                Ok::<_, DbError>(())
            })
        });
        executed.await.unwrap();
    }

    /// The desk's view of all notices, oldest first.
    pub async fn all(&self) -> Vec<Value> {
        items(&self.desk_gets("/notices?size=1000").await)
    }

    /// One field of all notices, oldest first.
    pub async fn each(&self, field: &str) -> Vec<Value> {
        self.all().await.iter().map(|notice| notice[field].clone()).collect()
    }

    pub fn as_role(&self, role: &str, method: Method, path: &str) -> TestRequest {
        testing::request(&self.service, method, path).bearer(&self.rig.issuer.token("someone", &[role]))
    }

    pub fn as_customer(&self, subject: &str, path: &str) -> TestRequest {
        testing::request(&self.service, Method::GET, path).bearer(&self.rig.issuer.token(subject, &[CUSTOMER]))
    }

    pub fn as_nobody(&self, path: &str) -> TestRequest {
        testing::request(&self.service, Method::GET, path)
    }

    pub async fn desk_gets(&self, path: &str) -> TestAnswer {
        self.as_role(DESK, Method::GET, path).send().await
    }
}

/// Until nothing is due and nothing is on its way; how many tries that took.
pub async fn send_due(sender: &mut Sender) -> usize {
    let mut tries = 0;
    loop {
        let begun = sender.turn().await.unwrap();
        tries += begun;
        if !sender.next_end().await && begun == 0 {
            return tries;
        }
    }
}

pub fn items(answer: &TestAnswer) -> Vec<Value> {
    answer.json()["_embedded"]["notices"].as_array().cloned().unwrap_or_default()
}
