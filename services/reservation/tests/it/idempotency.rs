use axum::http::Method;
use chassis::http::idempotency;
use chassis::testing::{TestAnswer, TestRequest};
use serde_json::{Value, json};

use crate::app::{TestApp, app, apps, jackson};
use crate::stand_in::Mood;

fn keyed(app: &TestApp, key: &str, body: &Value) -> TestRequest {
    app.request(Method::POST, "/reservations").header("idempotency-key", key).json(body)
}

async fn total(app: &TestApp) -> Value {
    app.get("/reservations").await.json()["page"]["totalElements"].clone()
}

fn same(first: &TestAnswer, second: &TestAnswer) -> bool {
    let shown = |answer: &TestAnswer| {
        let headers = ["location", "etag", "content-type"].map(|name| answer.header(name).to_owned());
        (answer.status, headers, answer.text.clone())
    };
    shown(first) == shown(second)
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_again_byte_for_byte() {
    for app in apps().await {
        let first = keyed(&app, "k-1", &jackson()).send().await;
        assert_eq!(first.status, 201);
        app.patch(1, &json!({"reservatorName": "Changed since"})).await;
        assert!(same(&first, &keyed(&app, "k-1", &jackson()).send().await));
        assert_eq!(total(&app).await, 1);
        assert_eq!(app.events().await, ["ReservationReserved", "ReservationChanged"]);
    }
}

#[tokio::test]
async fn a_refusal_is_repeated_too_but_an_unavailable_clinic_may_be_asked_again() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Refuses);
        let refused = keyed(&app, "k-1", &jackson()).send().await;
        app.diagnosis.becomes(Mood::Sheds);
        assert_eq!(keyed(&app, "k-2", &jackson()).send().await.status, 503);
        app.diagnosis.becomes(Mood::Accepts);
        assert!(same(&refused, &keyed(&app, "k-1", &jackson()).send().await));
        assert_eq!(keyed(&app, "k-2", &jackson()).send().await.status, 201);
    }
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let app = app().await;
    keyed(&app, "k-1", &jackson()).send().await;
    let other = json!({"reservatorName": "Bori", "reservationDate": "2020-04-30", "phoneNumber": "010-1234-5678"});
    assert_eq!(keyed(&app, "k-1", &other).send().await.status, 422);
    assert_eq!(total(&app).await, 1);
}

#[tokio::test]
async fn a_twin_of_a_request_under_way_is_told_to_wait() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Waits);
        let first = tokio::spawn(keyed(&app, "k-1", &jackson()).send());
        app.diagnosis.until_asked().await;
        assert_eq!(keyed(&app, "k-1", &jackson()).send().await.status, 409);
        app.diagnosis.release();
        let first = first.await.unwrap();
        assert_eq!(first.status, 201);
        assert!(same(&first, &keyed(&app, "k-1", &jackson()).send().await));
    }
}

#[tokio::test]
async fn a_hundred_twins_at_once_make_one_reservation() {
    for app in apps().await {
        let twins: Vec<_> = (0..100).map(|_| tokio::spawn(keyed(&app, "k-1", &jackson()).send())).collect();
        for twin in twins {
            let status = twin.await.unwrap().status.as_u16();
            assert!(status == 201 || status == 409, "{status}");
        }
        assert_eq!(total(&app).await, 1);
        assert_eq!(app.events().await, ["ReservationReserved"]);
    }
}

#[tokio::test]
async fn one_customers_key_is_not_anothers() {
    let app = app().await;
    let mine = keyed(&app, "k-1", &jackson()).send().await;
    let theirs = keyed(&app, "k-1", &jackson()).bearer(&app.bori).send().await;
    assert_ne!(mine.json()["id"], theirs.json()["id"]);
}

#[tokio::test]
async fn a_key_left_in_the_air_by_a_crash_is_answered_by_the_reconciler() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Waits);
        let crashed = tokio::spawn(keyed(&app, "k-1", &jackson()).send());
        app.diagnosis.until_asked().await;
        app.diagnosis.becomes(Mood::Accepts);
        app.settle_after(5).await;
        let repeated = keyed(&app, "k-1", &jackson()).send().await;
        assert_eq!((repeated.status.as_u16(), &repeated.json()["state"]), (201, &json!("RESERVED")));
        assert_eq!(total(&app).await, 1);
        crashed.abort();
    }
}

#[tokio::test]
async fn an_answer_is_forgotten_after_a_day() {
    for app in apps().await {
        keyed(&app, "k-1", &jackson()).send().await;
        let now_ms = app.rig.chassis.clock.now_ms();
        assert_eq!(idempotency::prune(&app.db, now_ms).await.unwrap(), 0);
        assert_eq!(idempotency::prune(&app.db, now_ms + 25 * 60 * 60 * 1000).await.unwrap(), 1);
        assert_eq!(keyed(&app, "k-1", &jackson()).send().await.json()["id"], 2);
    }
}
