//! The service in a test, spoken to in the domain's words.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::http::Method;
use chassis::events::{Handler, Message, consumer, dead_letter};
use chassis::http::server::Service;
use chassis::run::load;
use chassis::testing::{self, Published, Rig, TestAnswer, TestRequest};
use chassis::{Db, Options, auth};
use diagnosis::{ABOUT, App, Config, events, http, store};
use serde_json::{Value, json};

pub struct TestApp {
    pub rig: Rig,
    pub db: Db,
    pub service: Service,
    pub handler: Handler,
    service_token: String,
    sequence: AtomicI64,
}

pub fn config(overrides: &[(&str, &str)]) -> Result<Config, String> {
    let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = Options { overrides, ..Options::default() };
    load(ABOUT, &options).map(|(_, own)| own).map_err(|error| error.to_string())
}

/// The service on each database that there is to test on.
pub async fn apps(overrides: &[(&str, &str)]) -> Vec<TestApp> {
    let mut apps = Vec::new();
    for db in testing::databases(store::MIGRATIONS).await {
        apps.push(TestApp::on(db, overrides));
    }
    apps
}

pub async fn app(overrides: &[(&str, &str)]) -> TestApp {
    TestApp::on(testing::sqlite(store::MIGRATIONS).await, overrides)
}

impl TestApp {
    pub fn on(db: Db, overrides: &[(&str, &str)]) -> Self {
        let rig = Rig::new(ABOUT);
        let app = App::new(db.clone(), rig.chassis.clock.clone(), &config(overrides).unwrap());
        let handler = events::handler(app.clone());
        let api = http::router(app).merge(dead_letter::routes(&rig.chassis, &db, handler.clone()));
        let service = rig.serve(auth::protect(&rig.chassis.verifier, api));
        let service_token = rig.issuer.token("reservation", &["service"]);
        Self { rig, db, service, handler, service_token, sequence: AtomicI64::new(0) }
    }

    pub fn request_as(&self, subject: &str, role: &str, method: Method, path: &str) -> TestRequest {
        testing::request(&self.service, method, path).bearer(&self.rig.issuer.token(subject, &[role]))
    }

    /// As reservation calls.
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        testing::request(&self.service, method, path).bearer(&self.service_token)
    }

    pub async fn ask(&self, body: &Value) -> TestAnswer {
        self.request(Method::POST, "/medicalRecords").json(body).send().await
    }

    /// Asks for a visit of that customer's reservation.
    pub async fn ask_for(&self, reservation_id: i64, date: &str) -> TestAnswer {
        self.ask(&json!({"reservationId": reservation_id, "reservationDate": date, "customerId": "customer-1"})).await
    }

    /// Has a visit held and gives the record's id.
    pub async fn hold(&self, reservation_id: i64, date: &str) -> i64 {
        let answer = self.ask_for(reservation_id, date).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_i64().unwrap()
    }

    pub async fn ask_change(&self, reservation_id: i64, date: &str, change_number: i64) -> TestAnswer {
        let body = json!({"reservationDate": date, "changeNumber": change_number});
        self.request(Method::PUT, &format!("/visits/{reservation_id}")).json(&body).send().await
    }

    pub async fn vet_writes(&self, id: i64, body: &Value) -> TestAnswer {
        self.request_as("vet-1", "vet", Method::PATCH, &format!("/medicalRecords/{id}")).json(body).send().await
    }

    /// What the desk sees of a reservation's record.
    pub async fn record(&self, reservation_id: i64) -> Value {
        self.records(&format!("?reservationId={reservation_id}")).await["_embedded"]["medicalRecords"][0].clone()
    }

    pub async fn records(&self, query: &str) -> Value {
        let answer = self.request_as("desk-1", "desk", Method::GET, &format!("/medicalRecords{query}")).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub async fn count(&self) -> i64 {
        self.records("").await["page"]["totalElements"].as_i64().unwrap()
    }

    /// The next event of reservation about this reservation.
    pub async fn reservation_says(&self, payload: &Value) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let key = payload["id"].to_string();
        self.take_in(vec![testing::message("/reservation", &key, sequence, payload)]).await;
    }

    pub async fn take_in(&self, messages: Vec<Message>) {
        let batch: Arc<[Message]> = messages.into();
        consumer::take_in(&self.db, &self.handler, &batch).await.unwrap();
    }

    pub async fn parked(&self) -> Vec<String> {
        dead_letter::list(&self.db, None, 0, 1000).await.unwrap().into_iter().map(|letter| letter.reason).collect()
    }

    pub async fn published(&self) -> Vec<Published> {
        testing::outbox(&self.db).await
    }

    /// The types and numbers of the events that wait in the outbox.
    pub async fn events(&self) -> Vec<(String, i64)> {
        self.published().await.into_iter().map(|event| (event.event_type, event.sequence)).collect()
    }
}

pub fn reserved(id: i64, date: &str) -> Value {
    reservation_event("ReservationReserved", id, date)
}

pub fn canceled(id: i64, date: &str) -> Value {
    reservation_event("ReservationCanceled", id, date)
}

pub fn changed(id: i64, date: &str, change_number: i64) -> Value {
    numbered("ReservationChanged", id, date, change_number)
}

pub fn abandoned(id: i64, date: &str, change_number: i64) -> Value {
    numbered("ReservationChangeAbandoned", id, date, change_number)
}

fn numbered(kind: &str, id: i64, date: &str, change_number: i64) -> Value {
    let mut event = reservation_event(kind, id, date);
    event["changeNumber"] = json!(change_number);
    event
}

fn reservation_event(kind: &str, id: i64, date: &str) -> Value {
    json!({"eventType": kind, "timestamp": "20261121090000", "id": id, "reservatorName": "Jackson",
        "reservationDate": date, "phoneNumber": "010-1234-5678", "customerId": "customer-1"})
}

pub fn kind(answer: &TestAnswer) -> String {
    answer.json()["type"].as_str().unwrap_or_default().trim_start_matches("urn:problem:").to_owned()
}
