//! What reservation's events do, however often and in whatever order they come, and what is published.

use axum::http::Method;
use chassis::testing::{foreign_message, message};
use serde_json::{Value, json};

use crate::app::{TestApp, app, apps, canceled, changed, reserved};

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn reserved_example() -> Value {
    golden(include_str!("../../../../contracts/golden/reservation_reserved.json"))
}

fn canceled_example() -> Value {
    golden(include_str!("../../../../contracts/golden/reservation_canceled.json"))
}

#[tokio::test]
async fn a_confirmed_visit_is_treated_at_once_by_the_walk_in_policy() {
    for app in apps(&[]).await {
        app.hold(1, "2020-04-30").await;
        app.reservation_says(&reserved_example()).await;
        let record = app.record(1).await;
        assert_eq!(record["state"], "TREATED");

        let published = app.published().await;
        assert_eq!(published.len(), 1);
        assert_eq!((published[0].event_type.as_str(), published[0].key.as_str()), ("Treated", "1"));
        let example = golden(include_str!("../../../../contracts/golden/treated.json"));
        assert_eq!(published[0].payload, example);
    }
}

#[tokio::test]
async fn a_canceled_visit_is_published_as_the_example_says() {
    for app in apps(&[]).await {
        app.hold(1, "2020-04-30").await;
        app.reservation_says(&reserved_example()).await;
        app.reservation_says(&canceled_example()).await;
        assert_eq!(app.record(1).await["state"], "CANCELED");
        let published = app.published().await;
        assert_eq!(app.events().await, [("Treated".to_owned(), 1), ("TreatmentCanceled".to_owned(), 2)]);
        let example = golden(include_str!("../../../../contracts/golden/treatment_canceled.json"));
        assert_eq!(published[1].payload, example);
    }
}

#[tokio::test]
async fn the_examples_of_changes_move_the_date() {
    for app in apps(&[]).await {
        app.hold(1, "2020-04-30").await;
        app.reservation_says(&reserved_example()).await;
        app.ask_change(1, "2020-05-01", 1).await;
        app.reservation_says(&golden(include_str!("../../../../contracts/golden/reservation_changed.json"))).await;
        assert_eq!(app.record(1).await["reservationDate"], "2020-05-01");
        let back = golden(include_str!("../../../../contracts/golden/reservation_change_abandoned.json"));
        app.reservation_says(&back).await;
        assert_eq!(app.record(1).await["reservationDate"], "2020-04-30");
        assert_eq!(app.events().await.len(), 1, "a change publishes nothing here");
    }
}

#[tokio::test]
async fn a_visit_that_was_only_scheduled_is_canceled_with_its_event() {
    for app in apps(&[("treatment.policy", "manual")]).await {
        app.hold(1, "2020-04-30").await;
        app.reservation_says(&canceled(1, "2020-04-30")).await;
        assert_eq!(app.events().await, [("TreatmentCanceled".to_owned(), 1)]);
    }
}

#[tokio::test]
async fn an_event_that_is_delivered_again_does_nothing_again() {
    for app in apps(&[]).await {
        app.hold(1, "2020-04-30").await;
        let once = message("/reservation", "1", 1, &reserved(1, "2020-04-30"));
        app.take_in(vec![once.clone(), once.clone()]).await;
        app.take_in(vec![once]).await;
        // The same words under a new number: the business key holds where the inbox cannot.
        app.take_in(vec![message("/reservation", "1", 2, &reserved(1, "2020-04-30"))]).await;
        assert_eq!(app.events().await, [("Treated".to_owned(), 1)]);

        app.take_in(vec![message("/reservation", "1", 3, &canceled(1, "2020-04-30"))]).await;
        app.take_in(vec![message("/reservation", "1", 4, &canceled(1, "2020-04-30"))]).await;
        assert_eq!(app.events().await, [("Treated".to_owned(), 1), ("TreatmentCanceled".to_owned(), 2)]);
    }
}

#[tokio::test]
async fn an_older_event_does_not_undo_a_newer_one() {
    for app in apps(&[]).await {
        app.hold(1, "2020-04-30").await;
        app.take_in(vec![message("/reservation", "1", 3, &canceled(1, "2020-04-30"))]).await;
        app.take_in(vec![message("/reservation", "1", 1, &reserved(1, "2020-04-30"))]).await;
        app.take_in(vec![message("/reservation", "1", 2, &changed(1, "2020-05-01", 1))]).await;
        let record = app.record(1).await;
        assert_eq!((&record["state"], &record["reservationDate"]), (&json!("CANCELED"), &json!("2020-04-30")));
        assert_eq!(app.events().await, [("TreatmentCanceled".to_owned(), 1)]);
    }
}

#[tokio::test]
async fn a_confirmation_after_a_cancellation_treats_nobody() {
    for app in apps(&[]).await {
        app.take_in(vec![foreign_message(0, &canceled(1, "2020-04-30").to_string())]).await;
        app.take_in(vec![foreign_message(1, &reserved(1, "2020-04-30").to_string())]).await;
        assert_eq!(app.count().await, 0);
        assert_eq!(app.events().await, []);
    }
}

#[tokio::test]
async fn a_confirmed_reservation_that_nobody_asked_for_gets_its_visit() {
    for app in apps(&[]).await {
        app.reservation_says(&reserved(1, "2020-04-30")).await;
        let record = app.record(1).await;
        assert_eq!(record["state"], "TREATED");
        assert_eq!((&record["reservationDate"], &record["customerId"]), (&json!("2020-04-30"), &json!("customer-1")));
        assert_eq!(app.events().await, [("Treated".to_owned(), 1)]);
        assert_eq!(app.ask_for(1, "2020-04-30").await.status, 200);
    }
}

#[tokio::test]
async fn the_event_completes_a_visit_that_was_asked_for_without_date_and_customer() {
    for app in apps(&[]).await {
        assert_eq!(app.ask(&json!({"reservationId": 1, "doctor": "D"})).await.status, 201);
        app.reservation_says(&reserved(1, "2020-04-30T10:00")).await;
        let record = app.record(1).await;
        assert_eq!(
            (&record["reservationDate"], &record["customerId"], &record["doctor"]),
            (&json!("2020-04-30T10:00"), &json!("customer-1"), &json!("D"))
        );
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_parked_and_others_go_on() {
    for app in apps(&[]).await {
        app.take_in(vec![
            foreign_message(0, "not json"),
            foreign_message(1, r#"{"eventType":"ReservationReserved","id":null}"#),
            foreign_message(2, r#"{"eventType":"ReservationCanceled"}"#),
            foreign_message(3, r#"{"eventType":"ReservationReserved","id":"one"}"#),
            foreign_message(4, &reserved(5, "2020-04-30").to_string()),
        ])
        .await;
        let parked = app.parked().await;
        assert_eq!(parked.len(), 4, "{parked:?}");
        assert!(parked[0].contains("not JSON"), "{parked:?}");
        assert!(parked[1].contains("which reservation"), "{parked:?}");
        assert_eq!(app.record(5).await["state"], "TREATED");
    }
}

#[tokio::test]
async fn a_parked_event_can_be_redriven_by_an_operator_only() {
    let app = app(&[]).await;
    app.take_in(vec![foreign_message(0, "not json")]).await;
    let redrive =
        |role: &'static str| app.request_as("someone", role, Method::POST, "/actuator/dead-letters/redrive").send();
    assert_eq!(redrive("vet").await.status, 403);
    assert_eq!(redrive("admin").await.json(), json!({"processed": 0, "stillParked": 1}));
}

#[tokio::test]
async fn events_of_others_change_nothing() {
    let app = app(&[("treatment.policy", "manual")]).await;
    app.hold(1, "2020-04-30").await;
    for text in [
        include_str!("../../../../contracts/golden/treated.json"),
        include_str!("../../../../contracts/golden/treatment_canceled.json"),
        include_str!("../../../../contracts/golden/treatment_fee_billed.json"),
        include_str!("../../../../contracts/golden/treatment_fee_accepted.json"),
        include_str!("../../../../contracts/golden/treatment_fee_canceled.json"),
        r#"{"eventType":"PetAdopted","id":1}"#,
    ] {
        take_in_foreign(&app, text).await;
    }
    assert_eq!((app.record(1).await["version"].clone(), app.events().await.len()), (json!(1), 0));
    assert_eq!(app.parked().await, Vec::<String>::new());
}

async fn take_in_foreign(app: &TestApp, text: &str) {
    use std::sync::atomic::{AtomicI64, Ordering};
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    app.take_in(vec![foreign_message(OFFSET.fetch_add(1, Ordering::Relaxed), text)]).await;
}
