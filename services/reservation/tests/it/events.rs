//! What is published is what the examples say, field by field.

use chassis::testing::outbox;
use serde_json::{Value, json};

use crate::app::{TestApp, app};
use crate::stand_in::Mood;

async fn published_last(app: &TestApp) -> Value {
    outbox(&app.db).await.pop().unwrap().payload
}

fn example(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn every_event_is_as_its_golden_example() {
    let app = app().await;
    let token = app.rig.issuer.token("customer-1", &["customer"]);
    app.reserve_as(&token).await;
    assert_eq!(
        published_last(&app).await,
        example(include_str!("../../../../contracts/golden/reservation_reserved.json"))
    );

    app.patch(1, &json!({"reservationDate": "2020-05-01"})).await;
    assert_eq!(
        published_last(&app).await,
        example(include_str!("../../../../contracts/golden/reservation_changed.json"))
    );
}

#[tokio::test]
async fn a_cancellation_is_as_its_golden_example() {
    let app = app().await;
    let token = app.rig.issuer.token("customer-1", &["customer"]);
    app.reserve_as(&token).await;
    app.delete(1).await;
    assert_eq!(
        published_last(&app).await,
        example(include_str!("../../../../contracts/golden/reservation_canceled.json"))
    );
}

#[tokio::test]
async fn an_abandoned_change_is_as_its_golden_example() {
    let app = app().await;
    let token = app.rig.issuer.token("customer-1", &["customer"]);
    app.reserve_as(&token).await;
    app.diagnosis.becomes(Mood::Breaks);
    app.patch(1, &json!({"reservationDate": "2020-05-01"})).await;
    app.settle_after(5).await;
    app.settle_after(21).await;
    let mut published = published_last(&app).await;
    published["timestamp"] = json!("20261121090000");
    assert_eq!(published, example(include_str!("../../../../contracts/golden/reservation_change_abandoned.json")));
}

#[tokio::test]
async fn events_of_a_reservation_are_counted_without_a_gap_under_its_own_key() {
    let app = app().await;
    app.reserve().await;
    app.reserve().await;
    app.patch(1, &json!({"reservatorName": "Bori"})).await;
    app.delete(1).await;
    let counted: Vec<_> = outbox(&app.db).await.into_iter().map(|event| (event.key, event.sequence)).collect();
    let expected = [("1", 1), ("2", 1), ("1", 2), ("1", 3)].map(|(key, sequence)| (key.to_owned(), sequence));
    assert_eq!(counted, expected);
}
