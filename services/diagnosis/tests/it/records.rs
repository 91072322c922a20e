//! Reading records, and what a vet writes.

use axum::http::Method;
use serde_json::json;

use crate::app::{app, apps, canceled, kind, reserved};

const MANUAL: &[(&str, &str)] = &[("treatment.policy", "manual")];

#[tokio::test]
async fn records_are_listed_in_pages_and_by_reservation_and_state() {
    for app in apps(&[]).await {
        for id in 1..=5 {
            app.hold(id, "2020-05-01").await;
        }
        app.reservation_says(&reserved(2, "2020-05-01")).await;
        let page = app.records("?page=1&size=2").await;
        assert_eq!(page["page"], json!({"size": 2, "totalElements": 5, "totalPages": 3, "number": 1}));
        let ids: Vec<i64> = page["_embedded"]["medicalRecords"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["reservationId"].as_i64().unwrap())
            .collect();
        assert_eq!(ids, [3, 4]);
        assert_eq!(page["_links"]["next"]["href"], "http://fleet.test/medicalRecords?page=2&size=2");

        assert_eq!(app.records("?state=TREATED").await["_embedded"]["medicalRecords"][0]["reservationId"], 2);
        assert_eq!(app.records("?state=SCHEDULED&reservationId=2").await["page"]["totalElements"], 0);
        assert_eq!(app.records("?reservationId=3&state=SCHEDULED").await["page"]["totalElements"], 1);
        let wrong = app.request_as("desk-1", "desk", Method::GET, "/medicalRecords?state=SLEEPING").send().await;
        assert_eq!(wrong.status, 400);
    }
}

#[tokio::test]
async fn one_record_is_read_with_its_links_and_its_tag() {
    let app = app(&[]).await;
    let id = app.hold(7, "2020-05-01").await;
    let answer = app.request_as("desk-1", "desk", Method::GET, &format!("/medicalRecords/{id}/")).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"1\""));
    assert_eq!(answer.header("content-type"), "application/hal+json");
    let href = format!("http://fleet.test/medicalRecords/{id}");
    assert_eq!(answer.json()["_links"], json!({"self": {"href": href}, "medicalRecord": {"href": href}}));
}

#[tokio::test]
async fn under_the_manual_policy_a_vet_treats_a_confirmed_visit_once() {
    for app in apps(MANUAL).await {
        let id = app.hold(1, "2020-05-01").await;
        app.reservation_says(&reserved(1, "2020-05-01")).await;
        assert_eq!(app.record(1).await["state"], "SCHEDULED");
        assert_eq!(app.events().await, []);

        let nothing = app.vet_writes(id, &json!({})).await;
        assert_eq!((nothing.status.as_u16(), nothing.json()["state"].clone()), (200, json!("SCHEDULED")));

        let opinion = json!({"doctor": "Dr. Kim", "treatment": "vaccination", "medicalOpinion": "건강합니다."});
        let treated = app.vet_writes(id, &opinion).await;
        assert_eq!(treated.status, 200, "{}", treated.text);
        let record = treated.json();
        assert_eq!((&record["state"], &record["doctor"]), (&json!("TREATED"), &json!("Dr. Kim")));
        assert_eq!(treated.header("etag"), format!("\"{}\"", record["version"]));

        let corrected = app.vet_writes(id, &json!({"medicalOpinion": "아주 건강합니다."})).await.json();
        assert_eq!(
            (&corrected["medicalOpinion"], &corrected["doctor"]),
            (&json!("아주 건강합니다."), &json!("Dr. Kim"))
        );
        let published = app.published().await;
        assert_eq!(published.len(), 1, "a correction is no second treatment");
        assert_eq!(
            (&published[0].payload["doctor"], &published[0].payload["treatment"]),
            (&json!("Dr. Kim"), &json!("vaccination"))
        );
    }
}

#[tokio::test]
async fn what_is_not_confirmed_or_is_canceled_cannot_be_treated() {
    for app in apps(MANUAL).await {
        let id = app.hold(1, "2020-05-01").await;
        let early = app.vet_writes(id, &json!({"medicalOpinion": "O"})).await;
        assert_eq!((early.status.as_u16(), kind(&early).as_str()), (409, "visit-not-confirmed"));
        app.reservation_says(&canceled(1, "2020-05-01")).await;
        let late = app.vet_writes(id, &json!({"medicalOpinion": "O"})).await;
        assert_eq!((late.status.as_u16(), kind(&late).as_str()), (409, "visit-canceled"));
        assert_eq!(app.record(1).await["medicalOpinion"], "별 이상 없습니다.");
    }
}

#[tokio::test]
async fn two_vets_do_not_overwrite_each_other() {
    for app in apps(&[]).await {
        let id = app.hold(1, "2020-05-01").await;
        app.reservation_says(&reserved(1, "2020-05-01")).await;
        let version = app.record(1).await["version"].clone();
        let write = |opinion: &'static str| {
            app.request_as("vet-1", "vet", Method::PATCH, &format!("/medicalRecords/{id}"))
                .header("if-match", &format!("\"{version}\""))
                .json(&json!({"medicalOpinion": opinion}))
                .send()
        };
        assert_eq!(write("first").await.status, 200);
        assert_eq!(write("second").await.status, 412);
        assert_eq!(app.record(1).await["medicalOpinion"], "first");
    }
}

#[tokio::test]
async fn a_vet_and_a_cancellation_at_once_leave_a_canceled_visit_and_its_events_in_order() {
    for app in apps(MANUAL).await {
        for reservation in 1..=10 {
            let id = app.hold(reservation, "2020-05-01").await;
            app.reservation_says(&reserved(reservation, "2020-05-01")).await;
            let (opinion, cancellation) = (json!({"medicalOpinion": "O"}), canceled(reservation, "2020-05-01"));
            let (written, ()) = tokio::join!(app.vet_writes(id, &opinion), app.reservation_says(&cancellation));
            assert!([200, 409].contains(&written.status.as_u16()), "{}", written.text);
            assert_eq!(app.record(reservation).await["state"], "CANCELED");
            let key = reservation.to_string();
            let events: Vec<_> = app.published().await.into_iter().filter(|event| event.key == key).collect();
            let numbers: Vec<i64> = events.iter().map(|event| event.sequence).collect();
            assert_eq!(numbers, (1..=events.len() as i64).collect::<Vec<_>>());
            assert_eq!(events.last().unwrap().event_type, "TreatmentCanceled");
        }
    }
}
