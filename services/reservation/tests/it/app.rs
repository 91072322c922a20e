//! The service in a test, spoken to in the domain's words.

use std::time::Duration;

use axum::http::Method;
use chassis::Db;
use chassis::client::ClientSettings;
use chassis::http::server::Service;
use chassis::testing::{self, Rig, TestAnswer, TestRequest};
use reservation::domain::Details;
use reservation::store::Patience;
use reservation::{ABOUT, App, router, store};
use serde_json::{Value, json};

use crate::stand_in::StandIn;

pub struct TestApp {
    pub rig: Rig,
    pub app: App,
    pub db: Db,
    pub service: Service,
    pub diagnosis: StandIn,
    pub desk: String,
    pub bori: String,
}

/// The service on each database that there is to test on.
pub async fn apps() -> Vec<TestApp> {
    let mut apps = Vec::new();
    for db in testing::databases(store::MIGRATIONS).await {
        apps.push(TestApp::on(db).await);
    }
    apps
}

pub async fn app() -> TestApp {
    TestApp::on(testing::sqlite(store::MIGRATIONS).await).await
}

impl TestApp {
    async fn on(db: Db) -> Self {
        let rig = Rig::new(ABOUT);
        let diagnosis = StandIn::start().await;
        let settings = ClientSettings {
            url: diagnosis.url.clone(),
            try_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(5),
            max_concurrency: 512,
        };
        let app = App::new(&rig.chassis, db.clone(), settings, None).unwrap();
        let service = rig.serve(router(&rig.chassis, app.clone()));
        let desk = rig.issuer.token("desk-1", &["desk"]);
        let bori = rig.issuer.token("bori", &["customer"]);
        Self { rig, app, db, service, diagnosis, desk, bori }
    }

    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        testing::request(&self.service, method, path).bearer(&self.desk)
    }

    pub async fn get(&self, path: &str) -> TestAnswer {
        self.request(Method::GET, path).send().await
    }

    pub async fn post(&self, body: &Value) -> TestAnswer {
        self.request(Method::POST, "/reservations").json(body).send().await
    }

    pub async fn patch(&self, id: i64, body: &Value) -> TestAnswer {
        self.request(Method::PATCH, &format!("/reservations/{id}")).json(body).send().await
    }

    pub async fn delete(&self, id: i64) -> TestAnswer {
        self.request(Method::DELETE, &format!("/reservations/{id}")).send().await
    }

    /// Reserves for a customer and gives the reservation's id.
    pub async fn reserve_as(&self, token: &str) -> i64 {
        let answer = self.request(Method::POST, "/reservations").bearer(token).json(&jackson()).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_i64().unwrap()
    }

    pub async fn reserve(&self) -> i64 {
        self.reserve_as(&self.desk).await
    }

    /// A reservation that diagnosis was asked about and whose process has died.
    pub async fn insert_pending(&self) {
        let details = Details { name: "Jackson".into(), date: "2020-04-30".into(), phone: "0103701".into() };
        let now_ms = self.rig.chassis.clock.now_ms();
        let patience = Patience { settle_after: now_ms + 1, decide_by: now_ms + 10_000 };
        let inserting = self.db.write(move |tx| {
            Box::pin(async move { store::insert_pending_in_tx(tx, &details, "bori", None, patience, now_ms).await })
        });
        inserting.await.unwrap();
    }

    pub async fn state(&self, id: i64) -> String {
        self.get(&format!("/reservations/{id}")).await.json()["state"].as_str().unwrap_or("gone").to_owned()
    }

    /// The types of the events that wait in the outbox.
    pub async fn events(&self) -> Vec<String> {
        testing::outbox(&self.db).await.into_iter().map(|event| event.event_type).collect()
    }

    /// Lets the reconciler come by after so much time.
    pub async fn settle_after(&self, seconds: u64) {
        self.rig.chassis.clock.advance(Duration::from_secs(seconds));
        reservation::settle_waiting(&self.app).await.unwrap();
    }
}

pub fn jackson() -> Value {
    json!({"reservatorName": "Jackson", "reservationDate": "2020-04-30", "phoneNumber": "010-1234-5678"})
}
