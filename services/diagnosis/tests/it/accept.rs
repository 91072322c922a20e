//! Accepting a visit: once a reservation, by the clinic's policy, and never after a cancellation.

use serde_json::json;

use crate::app::{app, apps, canceled, kind, reserved};

#[tokio::test]
async fn a_visit_is_held_once_however_often_it_is_asked_for() {
    for app in apps(&[]).await {
        let first = app.ask_for(1, "2020-04-30").await;
        assert_eq!(first.status, 201, "{}", first.text);
        let record = first.json();
        assert_eq!(first.header("location"), format!("http://fleet.test/medicalRecords/{}", record["id"]));
        assert_eq!(first.header("etag"), "\"1\"");
        assert_eq!(record["reservationId"], 1);
        assert_eq!(record["reservationDate"], "2020-04-30");
        assert_eq!(record["doctor"], "Brad pitt");
        assert_eq!(record["treatment"], "그냥 집에서 푹 쉬면 나을 것입니다.");
        assert_eq!(record["medicalOpinion"], "별 이상 없습니다.");
        assert_eq!(record["state"], "SCHEDULED");
        assert_eq!(record["customerId"], "customer-1");
        assert_eq!(record["createdAt"], "2026-11-21T09:00:00Z");

        let again = app.ask_for(1, "2020-04-30").await;
        assert_eq!(again.status, 200);
        assert_eq!(again.json(), record);
        assert_eq!(app.count().await, 1);
        assert_eq!(app.events().await, []);
    }
}

#[tokio::test]
async fn the_originals_body_is_accepted_as_it_is() {
    let app = app(&[]).await;
    let answer = app.ask(&json!({"reservationId": 42, "doctor": "D", "treatment": "T", "medicalOpinion": "O"})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let record = answer.json();
    assert_eq!(
        (&record["doctor"], &record["treatment"], &record["medicalOpinion"]),
        (&json!("D"), &json!("T"), &json!("O"))
    );
    assert_eq!((&record["reservationDate"], &record["customerId"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn a_repetition_that_names_another_date_is_not_told_that_it_is_held() {
    for app in apps(&[]).await {
        app.hold(1, "2020-04-30T10:00").await;
        assert_eq!(app.ask_for(1, "2020-04-30 10:00:00").await.status, 200);
        assert_eq!(app.ask(&json!({"reservationId": 1})).await.status, 200);
        let other = app.ask_for(1, "2020-05-01").await;
        assert_eq!((other.status.as_u16(), kind(&other).as_str()), (409, "visit-refused"));
    }
}

#[tokio::test]
async fn two_dates_at_once_leave_one_visit() {
    for app in apps(&[]).await {
        let (one, other) = tokio::join!(app.ask_for(1, "2020-04-30"), app.ask_for(1, "2020-05-01"));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
        assert_eq!(app.count().await, 1);
    }
}

#[tokio::test]
async fn what_the_clinic_cannot_treat_is_refused_with_the_reason_and_leaves_nothing() {
    let policy = [
        ("clinic.opening_hours", "[\"mon-sat 09:00-18:00\"]"),
        ("clinic.closed_days", "[\"2026-12-25\"]"),
        ("clinic.allow_past_dates", "false"),
    ];
    for app in apps(&policy).await {
        for (id, date, reason) in [
            (1, "2026-11-20", "2026-11-20 is in the past."),
            (2, "2026-12-25T10:00", "The clinic is closed on 2026-12-25."),
            (3, "2026-11-22", "The clinic is closed on 2026-11-22."),
            (4, "2026-11-23T18:00", "The clinic is not open at 2026-11-23T18:00."),
        ] {
            let answer = app.ask_for(id, date).await;
            assert_eq!((answer.status.as_u16(), kind(&answer).as_str()), (409, "visit-refused"), "{date}");
            assert_eq!(answer.json()["detail"], reason);
        }
        assert_eq!(app.count().await, 0);
        app.hold(5, "2026-11-23T10:00").await;
    }
}

#[tokio::test]
async fn a_promise_stands_when_the_date_has_passed() {
    let app = app(&[("clinic.allow_past_dates", "false")]).await;
    // Now, by the clinic's clock.
    app.hold(1, "2026-11-21T18:00").await;
    app.rig.chassis.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(app.ask_for(1, "2026-11-21T18:00").await.status, 200);
    assert_eq!(app.ask_for(2, "2026-11-21T18:00").await.status, 409);
}

#[tokio::test]
async fn a_request_after_the_cancellation_is_refused() {
    for app in apps(&[]).await {
        app.reservation_says(&canceled(1, "2020-04-30")).await;
        let late = app.ask_for(1, "2020-04-30").await;
        assert_eq!((late.status.as_u16(), kind(&late).as_str()), (409, "visit-canceled"));
        assert_eq!(app.count().await, 0, "a tombstone is no record");
        assert_eq!(app.events().await, []);

        app.hold(2, "2020-04-30").await;
        app.reservation_says(&reserved(2, "2020-04-30")).await;
        app.reservation_says(&canceled(2, "2020-04-30")).await;
        assert_eq!(kind(&app.ask_for(2, "2020-04-30").await), "visit-canceled");
        assert_eq!(app.record(2).await["state"], "CANCELED");
    }
}

#[tokio::test]
async fn a_request_that_races_with_the_cancellation_leaves_no_live_visit() {
    for app in apps(&[]).await {
        for id in 1..=20 {
            let cancellation = canceled(id, "2020-04-30");
            let (answer, ()) = tokio::join!(app.ask_for(id, "2020-04-30"), app.reservation_says(&cancellation));
            assert!([201, 409].contains(&answer.status.as_u16()), "{}", answer.text);
        }
        assert_eq!(app.records("?state=SCHEDULED").await["page"]["totalElements"], 0);
        assert_eq!(app.records("?state=TREATED").await["page"]["totalElements"], 0);
    }
}
