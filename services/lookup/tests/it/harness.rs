use std::sync::Arc;

use axum::http::Method;
use chassis::Db;
use chassis::events::{Message, consumer};
use chassis::http::server::Service;
use chassis::testing::{Rig, TestAnswer, TestRequest, message, request, sqlite};
use contracts::roles::{CUSTOMER, DESK};
use lookup::{ABOUT, App, handler, store};
use serde_json::{Value, json};

pub const RESERVATION: &str = "/reservation";
pub const DIAGNOSIS: &str = "/diagnosis";
pub const ACCEPTANCE: &str = "/acceptance";

pub async fn take_in(db: &Db, messages: &[Message]) {
    let batch: Arc<[Message]> = messages.to_vec().into();
    consumer::take_in(db, &handler(), &batch).await.unwrap();
}

/// A reservation's events from one publisher, with the count that publisher gives them.
pub fn sent(source: &str, reservation_id: i64, sequence: i64, payload: Value) -> Message {
    message(source, &reservation_id.to_string(), sequence, &payload)
}

pub fn reservation_event(kind: &str, id: i64, date: &str, customer: &str) -> Value {
    json!({"eventType": kind, "timestamp": "20261121090000", "id": id, "reservatorName": "Jackson",
        "reservationDate": date, "phoneNumber": "010-1234-5678", "customerId": customer})
}

pub fn treatment_event(kind: &str, reservation_id: i64) -> Value {
    json!({"eventType": kind, "timestamp": "20261121090001", "id": 7, "reservationId": reservation_id, "doctor": "Brad pitt"})
}

pub fn fee_event(kind: &str, reservation_id: i64, fee: i64) -> Value {
    json!({"eventType": kind, "timestamp": "20261121090002", "id": 9, "reservationId": reservation_id, "fee": fee})
}

/// The service with a view of its own.
pub struct View {
    pub db: Db,
    rig: Rig,
    service: Service,
}

impl View {
    pub async fn new() -> Self {
        Self::on(sqlite(store::MIGRATIONS).await)
    }

    pub fn on(db: Db) -> Self {
        let rig = Rig::new(ABOUT);
        let service = rig.serve(lookup::router(&rig.chassis, App { db: db.clone() }));
        Self { db, rig, service }
    }

    /// Reserved, treated and billed.
    pub async fn visit(&self, id: i64, date: &str, customer: &str) {
        let messages = [
            sent(RESERVATION, id, 1, reservation_event("ReservationReserved", id, date, customer)),
            sent(DIAGNOSIS, id, 1, treatment_event("Treated", id)),
            sent(ACCEPTANCE, id, 1, fee_event("TreatmentFeeBilled", id, 10000)),
        ];
        take_in(&self.db, &messages).await;
    }

    pub async fn paid(&self, id: i64) {
        take_in(&self.db, &[sent(ACCEPTANCE, id, 2, fee_event("TreatmentFeeAccepted", id, 10000))]).await;
    }

    pub fn token(&self, subject: &str, roles: &[&str]) -> String {
        self.rig.issuer.token(subject, roles)
    }

    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        request(&self.service, method, path)
    }

    pub fn as_desk(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path).bearer(&self.token("desk-1", &[DESK]))
    }

    pub fn as_customer(&self, subject: &str, path: &str) -> TestRequest {
        self.request(Method::GET, path).bearer(&self.token(subject, &[CUSTOMER]))
    }

    /// The ids on the page that the desk gets.
    pub async fn ids(&self, query: &str) -> Vec<i64> {
        let answer = self.as_desk(&format!("/reservationStats{query}")).send().await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        ids(&answer)
    }
}

pub fn ids(answer: &TestAnswer) -> Vec<i64> {
    rows(answer).iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

pub fn rows(answer: &TestAnswer) -> Vec<Value> {
    answer.json()["_embedded"]["reservationStats"].as_array().unwrap().clone()
}

/// Every order of several streams that keeps the order within each.
pub fn interleavings<T: Clone>(streams: &[Vec<T>]) -> Vec<Vec<T>> {
    if streams.iter().all(Vec::is_empty) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        let Some((first, rest)) = stream.split_first() else { continue };
        let mut remaining = streams.to_vec();
        remaining[index] = rest.to_vec();
        for tail in interleavings(&remaining) {
            all.push([vec![first.clone()], tail].concat());
        }
    }
    all
}
