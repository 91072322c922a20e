use axum::http::Method;
use serde_json::json;

use crate::app::{app, apps, jackson};
use crate::stand_in::Mood;

#[tokio::test]
async fn what_diagnosis_accepts_is_reserved_and_told_to_the_others() {
    for app in apps().await {
        let answer = app.post(&jackson()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let id = answer.json()["id"].as_i64().unwrap();
        assert_eq!(answer.header("location"), format!("http://fleet.test/reservations/{id}"));
        assert_eq!(answer.header("content-type"), "application/hal+json");
        assert_eq!(answer.json()["state"], "RESERVED");
        assert_eq!(answer.json()["_links"]["self"]["href"], answer.header("location"));
        assert_eq!(app.state(id).await, "RESERVED");
        assert_eq!(app.events().await, ["ReservationReserved"]);
    }
}

#[tokio::test]
async fn the_seeds_own_commands_are_good_input() {
    let app = app().await;
    for body in [
        json!({"reservatorName": "Jackson", "reservationDate": "2020-04-30", "phoneNumber": "010-1234-5678"}),
        json!({"reservatorName": "Jackson", "phoneNumber": "01032713104", "reservationDate": "2020-05-01"}),
        json!({"reservatorName": "pdc", "reservationDate": "202002", "phoneNumber": "0103701"}),
    ] {
        assert_eq!(app.post(&body).await.status, 201, "{body}");
        assert_eq!(app.post(&body).await.status, 201, "the same again is another reservation");
    }
}

#[tokio::test]
async fn what_the_clinic_cannot_treat_is_refused_with_its_reason() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Refuses);
        let answer = app.post(&jackson()).await;
        assert_eq!(answer.status, 409);
        assert_eq!(answer.json()["detail"], "The clinic is closed on Mondays.");
        assert_eq!(app.get("/reservations").await.json()["_embedded"]["reservations"][0]["state"], "REJECTED");
        assert!(app.events().await.is_empty());
    }
}

#[tokio::test]
async fn a_diagnosis_that_has_done_nothing_leaves_nothing_behind() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Sheds);
        let answer = app.post(&jackson()).await;
        assert_eq!(answer.status, 503);
        assert_ne!(answer.header("retry-after"), "");
        assert_eq!(app.get("/reservations").await.json()["page"]["totalElements"], 0);
        assert!(app.events().await.is_empty());
    }
}

#[tokio::test]
async fn a_reservation_is_finished_even_if_its_client_has_gone() {
    let app = app().await;
    app.diagnosis.becomes(Mood::Waits);
    let client = tokio::spawn(app.request(Method::POST, "/reservations").json(&jackson()).send());
    app.diagnosis.until_asked().await;
    client.abort();
    app.diagnosis.release();
    app.app.lifecycle.finish().await;
    assert_eq!(app.state(1).await, "RESERVED");
    assert_eq!(app.events().await, ["ReservationReserved"]);
}

#[tokio::test]
async fn a_reservation_cancelled_while_diagnosis_is_asked_stays_cancelled() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Waits);
        let client = tokio::spawn(app.request(Method::POST, "/reservations").json(&jackson()).send());
        app.diagnosis.until_asked().await;
        assert_eq!(app.delete(1).await.status, 204);
        app.diagnosis.release();
        assert_eq!(client.await.unwrap().status, 409);
        assert_eq!(app.state(1).await, "CANCELED");
        assert_eq!(app.events().await, ["ReservationCanceled"]);
    }
}

#[tokio::test]
async fn pages_are_linked_from_where_the_client_stands() {
    let app = app().await;
    for _ in 0..3 {
        app.reserve().await;
    }
    let page = app
        .request(Method::GET, "/reservations/?page=1&size=1&sort=id,desc")
        .header("x-forwarded-host", "hospital.example")
        .header("x-forwarded-proto", "https")
        .send()
        .await
        .json();
    assert_eq!(page["_embedded"]["reservations"][0]["id"], 2);
    assert_eq!(page["page"], json!({"size": 1, "totalElements": 3, "totalPages": 3, "number": 1}));
    assert_eq!(page["_links"]["next"]["href"], "https://hospital.example/reservations?sort=id,desc&page=2&size=1");
}

#[tokio::test]
async fn a_cancellation_that_diagnosis_heard_of_first_wins() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::KnowsOfACancellation);
        assert_eq!(app.post(&jackson()).await.status, 409);
        assert_eq!(app.state(1).await, "CANCELED");
    }
}

#[tokio::test]
async fn what_is_no_answer_of_diagnosis_is_no_refusal_of_the_clinic() {
    for app in apps().await {
        for mood in [Mood::IsSomebodyElse, Mood::KnowsNoToken] {
            app.diagnosis.becomes(mood);
            assert_eq!(app.post(&jackson()).await.status, 503, "{mood:?}");
        }
        assert_eq!(app.state(1).await, "gone", "nothing is left behind");
    }
}
