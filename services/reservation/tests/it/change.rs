use axum::http::Method;
use serde_json::json;

use crate::app::{app, apps, jackson};
use crate::stand_in::Mood;

#[tokio::test]
async fn a_new_date_is_asked_of_diagnosis_before_it_counts() {
    for app in apps().await {
        app.reserve().await;
        let answer = app.patch(1, &json!({"reservationDate": "2020-05-01"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["reservationDate"], "2020-05-01");
        assert_eq!(
            app.diagnosis.asked().last().unwrap(),
            r#"PUT /visits/1 {"reservationDate":"2020-05-01","changeNumber":1}"#
        );
        assert_eq!(app.events().await, ["ReservationReserved", "ReservationChanged"]);
    }
}

#[tokio::test]
async fn a_refused_date_changes_nothing() {
    for app in apps().await {
        app.reserve().await;
        app.diagnosis.becomes(Mood::Refuses);
        assert_eq!(app.patch(1, &json!({"reservationDate": "2020-05-01"})).await.status, 409);
        app.diagnosis.becomes(Mood::Sheds);
        assert_eq!(app.patch(1, &json!({"reservationDate": "2020-05-02"})).await.status, 503);
        assert_eq!(app.get("/reservations/1").await.json()["reservationDate"], "2020-04-30");
        assert_eq!(app.events().await, ["ReservationReserved"]);
    }
}

#[tokio::test]
async fn a_new_name_or_number_needs_no_asking() {
    let app = app().await;
    app.reserve().await;
    let asked = app.diagnosis.asked().len();
    let answer = app.patch(1, &json!({"phoneNumber": "01032713104"})).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"2\""));
    assert_eq!(app.diagnosis.asked().len(), asked);
    assert_eq!(app.events().await, ["ReservationReserved", "ReservationChanged"]);
}

#[tokio::test]
async fn a_change_that_changes_nothing_publishes_nothing() {
    let app = app().await;
    app.reserve().await;
    assert_eq!(app.patch(1, &json!({})).await.status, 200);
    assert_eq!(app.patch(1, &json!({"reservationDate": "2020-04-30"})).await.status, 200);
    assert_eq!(app.events().await, ["ReservationReserved"]);
}

#[tokio::test]
async fn a_put_replaces_all_and_an_unknown_one_is_not_made() {
    let app = app().await;
    app.reserve().await;
    let body = json!({"reservatorName": "Bori", "reservationDate": "2020-05-01", "phoneNumber": "0103701"});
    let answer = app.request(Method::PUT, "/reservations/1").json(&body).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["reservatorName"], "Bori");
    assert_eq!(app.request(Method::PUT, "/reservations/77").json(&jackson()).send().await.status, 404);
    let part = app.request(Method::PUT, "/reservations/1").json(&json!({"reservatorName": "Bori"})).send().await;
    assert_eq!((part.status.as_u16(), part.fields().len()), (422, 2));
}

#[tokio::test]
async fn whoever_read_an_older_version_is_told() {
    let app = app().await;
    app.reserve().await;
    app.patch(1, &json!({"reservatorName": "Bori"})).await;
    for tag in ["\"1\"", "\"nonsense\"", "1"] {
        let stale = app.request(Method::PATCH, "/reservations/1").header("if-match", tag);
        assert_eq!(stale.json(&json!({"reservatorName": "Late"})).send().await.status, 412, "{tag}");
    }
    let fresh = app.request(Method::PATCH, "/reservations/1").header("if-match", "\"2\"");
    assert_eq!(fresh.json(&json!({"reservatorName": "Early"})).send().await.status, 200);
}

#[tokio::test]
async fn a_cancelled_or_rejected_reservation_is_not_changed() {
    let app = app().await;
    app.reserve().await;
    app.delete(1).await;
    assert_eq!(app.patch(1, &json!({"reservatorName": "Bori"})).await.status, 409);
    app.diagnosis.becomes(Mood::Refuses);
    app.post(&jackson()).await;
    assert_eq!(app.patch(2, &json!({"reservatorName": "Bori"})).await.status, 409);
}

#[tokio::test]
async fn a_change_overtaken_by_a_cancellation_changes_nothing() {
    for app in apps().await {
        app.reserve().await;
        app.diagnosis.becomes(Mood::Waits);
        let request = app.request(Method::PATCH, "/reservations/1").json(&json!({"reservationDate": "2020-05-01"}));
        app.diagnosis.until_asked().await;
        let client = tokio::spawn(request.send());
        app.diagnosis.until_asked().await;
        assert_eq!(app.delete(1).await.status, 204);
        app.diagnosis.release();
        assert_eq!(client.await.unwrap().status, 409);
        assert_eq!(app.events().await, ["ReservationReserved", "ReservationCanceled"]);
    }
}
