//! A slow clinic: waiting holds neither a thread nor a transaction, and what is not begun says so.

use axum::http::Method;
use futures_util::poll;
use serde_json::json;

use crate::app::{app, apps, kind, reserved};

const NOT_DONE: &str = chassis::client::NOT_DONE_HEADER;

#[tokio::test]
async fn beyond_the_limit_a_visit_is_sent_away_at_once() {
    let app = app(&[("treatment.max_concurrency", "1"), ("treatment.simulated_time", "1h..2h")]).await;
    let mut first = Box::pin(app.ask_for(1, "2020-05-01"));
    assert!(poll!(&mut first).is_pending());

    for answer in [app.ask_for(2, "2020-05-01").await, app.ask_change(3, "2020-05-01", 1).await] {
        assert_eq!((answer.status.as_u16(), kind(&answer).as_str()), (503, "overloaded"));
        assert_eq!(answer.header(NOT_DONE), "true");
        assert!(!answer.header("retry-after").is_empty());
    }
    // Reading, and what reservation's events do, goes on meanwhile: no transaction is held.
    app.reservation_says(&reserved(9, "2020-05-01")).await;
    assert_eq!(app.count().await, 1);

    drop(first);
    let mut next = Box::pin(app.ask_for(2, "2020-05-01"));
    assert!(poll!(&mut next).is_pending(), "the place of a client that has gone is free again");
}

#[tokio::test]
async fn a_visit_is_held_after_the_simulated_time() {
    let app = app(&[("treatment.simulated_time", "1ms..2ms")]).await;
    app.hold(1, "2020-05-01").await;
}

#[tokio::test]
async fn nothing_is_begun_for_a_caller_who_no_longer_waits() {
    for app in apps(&[]).await {
        app.hold(2, "2020-05-01").await;
        let visit = json!({"reservationId": 1, "reservationDate": "2020-05-01"});
        let change = json!({"reservationDate": "2020-05-02", "changeNumber": 1});
        for (method, path, body) in [(Method::POST, "/medicalRecords", &visit), (Method::PUT, "/visits/2", &change)] {
            let late = app.request(method, path).header("x-request-timeout-ms", "0").json(body).send().await;
            assert_eq!((late.status.as_u16(), kind(&late).as_str()), (503, "too-late"));
            assert_eq!(late.header(NOT_DONE), "true");
        }
        assert_eq!(app.count().await, 1);
        assert_eq!(app.record(2).await["version"], 1);

        let in_time = app.request(Method::POST, "/medicalRecords").header("x-request-timeout-ms", "60000");
        assert_eq!(in_time.json(&visit).send().await.status, 201);
    }
}

#[tokio::test]
async fn a_database_in_trouble_does_not_claim_that_nothing_was_done() {
    let app = app(&[]).await;
    app.db.close().await;
    let answer = app.ask_for(1, "2020-05-01").await;
    assert_eq!((answer.status.as_u16(), kind(&answer).as_str()), (503, "database-unavailable"));
    assert_eq!(answer.header(NOT_DONE), "");
}
