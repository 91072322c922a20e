//! A change of date: both dates are held until the reservation's event says which it is.

use serde_json::json;

use crate::app::{abandoned, app, apps, canceled, changed, kind, reserved};

const ONE_A_DAY: &[(&str, &str)] = &[("clinic.capacity_per_day", "1")];

#[tokio::test]
async fn both_dates_are_held_until_the_change_is_settled() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        app.reservation_says(&reserved(1, "2020-05-01")).await;
        assert_eq!(app.ask_change(1, "2020-05-02", 1).await.status, 200);
        assert_eq!(app.record(1).await["reservationDate"], "2020-05-01");
        assert_eq!(app.ask_for(11, "2020-05-01").await.status, 409);
        assert_eq!(app.ask_for(12, "2020-05-02").await.status, 409);

        app.reservation_says(&changed(1, "2020-05-02", 1)).await;
        assert_eq!(app.record(1).await["reservationDate"], "2020-05-02");
        assert_eq!(app.ask_for(13, "2020-05-02").await.status, 409);
        assert_eq!(app.ask_for(14, "2020-05-01").await.status, 201, "the old place is free");
    }
}

#[tokio::test]
async fn an_abandoned_change_frees_its_place_and_cannot_come_back() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        assert_eq!(app.ask_change(1, "2020-05-02", 1).await.status, 200);
        app.reservation_says(&abandoned(1, "2020-05-01", 1)).await;
        assert_eq!(app.record(1).await["reservationDate"], "2020-05-01");

        let late = app.ask_change(1, "2020-05-02", 1).await;
        assert_eq!((late.status.as_u16(), kind(&late).as_str()), (409, "visit-refused"));
        app.hold(2, "2020-05-02").await;
    }
}

#[tokio::test]
async fn a_change_that_arrives_after_it_was_abandoned_is_refused() {
    for app in apps(&[]).await {
        app.hold(1, "2020-05-01").await;
        app.reservation_says(&abandoned(1, "2020-05-01", 1)).await;
        assert_eq!(app.ask_change(1, "2020-05-02", 1).await.status, 409);
        assert_eq!(app.ask_change(1, "2020-05-02", 2).await.status, 200);
    }
}

#[tokio::test]
async fn a_repeated_change_is_the_same_change() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        let first = app.ask_change(1, "2020-05-02", 1).await;
        let again = app.ask_change(1, "2020-05-02", 1).await;
        assert_eq!((again.status, again.json()), (first.status, first.json()));
        assert_eq!(app.ask_change(1, "2020-05-03", 1).await.status, 409, "another date under the same number");

        app.reservation_says(&changed(1, "2020-05-02", 1)).await;
        assert_eq!(app.ask_change(1, "2020-05-02", 1).await.status, 200, "it is held, now as the current one");
        assert_eq!(app.ask_change(1, "2020-05-01", 1).await.status, 409);
    }
}

#[tokio::test]
async fn the_next_change_may_be_asked_for_before_the_event_of_the_last_has_arrived() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        assert_eq!(app.ask_change(1, "2020-05-02", 1).await.status, 200);
        assert_eq!(app.ask_change(1, "2020-05-03", 2).await.status, 200);
        for (id, taken) in [(11, "2020-05-01"), (12, "2020-05-02"), (13, "2020-05-03")] {
            assert_eq!(app.ask_for(id, taken).await.status, 409, "{taken}");
        }

        app.reservation_says(&changed(1, "2020-05-02", 1)).await;
        assert_eq!(app.record(1).await["reservationDate"], "2020-05-02");
        assert_eq!(app.ask_for(14, "2020-05-02").await.status, 409);
        assert_eq!(app.ask_for(15, "2020-05-03").await.status, 409);
        app.hold(2, "2020-05-01").await;

        app.reservation_says(&abandoned(1, "2020-05-02", 2)).await;
        app.hold(3, "2020-05-03").await;
        assert_eq!(app.ask_for(4, "2020-05-02").await.status, 409);
    }
}

#[tokio::test]
async fn a_change_of_other_fields_leaves_a_requested_date_alone() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        app.ask_change(1, "2020-05-02", 1).await;
        let mut renamed = changed(1, "2020-05-01", 0);
        renamed.as_object_mut().unwrap().remove("changeNumber");
        let version = app.record(1).await["version"].clone();
        app.reservation_says(&renamed).await;
        assert_eq!(app.ask_for(2, "2020-05-02").await.status, 409);
        assert_eq!(app.record(1).await["version"], version, "nothing of the record has changed");
    }
}

#[tokio::test]
async fn a_change_is_refused_by_the_policy_and_keeps_the_old_date() {
    let policy = [("clinic.capacity_per_day", "1"), ("clinic.closed_days", "[\"sun\"]")];
    for app in apps(&policy).await {
        app.hold(1, "2020-05-01").await;
        app.hold(2, "2020-05-02").await;
        for (number, date, reason) in [
            (1, "2020-05-02", "The clinic has no place left on 2020-05-02."),
            (2, "2020-05-03", "The clinic is closed on 2020-05-03."),
        ] {
            let refused = app.ask_change(1, date, number).await;
            assert_eq!((refused.status.as_u16(), kind(&refused).as_str()), (409, "visit-refused"));
            assert_eq!(refused.json()["detail"], reason);
        }
        assert_eq!(app.record(1).await["version"], 1, "nothing is left behind");
        assert_eq!(app.ask_change(1, "2020-05-04", 2).await.status, 409, "a late try of a refused change");
        assert_eq!(app.ask_change(1, "2020-05-04", 3).await.status, 200);
        assert_eq!(
            app.ask_change(2, "2020-05-02T10:00", 1).await.status,
            200,
            "its own place does not stand in its way"
        );
    }
}

#[tokio::test]
async fn a_cancellation_frees_both_dates_and_ends_changes() {
    for app in apps(ONE_A_DAY).await {
        app.hold(1, "2020-05-01").await;
        app.ask_change(1, "2020-05-02", 1).await;
        app.reservation_says(&canceled(1, "2020-05-01")).await;
        assert_eq!(kind(&app.ask_change(1, "2020-05-03", 2).await), "visit-canceled");
        app.hold(2, "2020-05-01").await;
        app.hold(3, "2020-05-02").await;
    }
}

#[tokio::test]
async fn there_must_be_a_visit_to_change() {
    let app = app(&[]).await;
    assert_eq!(app.ask_change(1, "2020-05-02", 1).await.status, 404);
    app.reservation_says(&canceled(2, "2020-05-01")).await;
    assert_eq!(kind(&app.ask_change(2, "2020-05-02", 1).await), "visit-canceled");
}

#[tokio::test]
async fn a_change_and_a_request_for_the_last_place_do_not_both_get_it() {
    for app in apps(ONE_A_DAY).await {
        for round in 0..10 {
            let (mover, other) = (round * 2 + 1, round * 2 + 2);
            let wanted = format!("2021-01-{:02}", round + 1);
            app.hold(mover, &format!("2020-01-{:02}", round + 1)).await;
            let (change, request) = tokio::join!(app.ask_change(mover, &wanted, 1), app.ask_for(other, &wanted));
            let got_it = [change.status.as_u16() == 200, request.status.as_u16() == 201];
            assert_eq!(got_it.iter().filter(|got| **got).count(), 1, "{} {}", change.text, request.text);
        }
    }
}

#[tokio::test]
async fn a_change_asks_for_a_date_and_a_number() {
    let app = app(&[]).await;
    app.hold(1, "2020-05-01").await;
    for (body, fields) in [
        (json!({"changeNumber": 1}), vec!["reservationDate"]),
        (json!({"reservationDate": "2020-05-02"}), vec!["changeNumber"]),
        (json!({"reservationDate": "2026-02-30", "changeNumber": 0}), vec!["reservationDate", "changeNumber"]),
        (json!({"reservationDate": 20200502, "changeNumber": 1}), vec!["reservationDate"]),
        (json!({"reservationDate": "2020-05-02", "changeNumber": "one"}), vec!["changeNumber"]),
    ] {
        let answer = app.request(axum::http::Method::PUT, "/visits/1").json(&body).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.fields()),
            (422, fields.iter().map(|f| f.to_string()).collect()),
            "{body}"
        );
    }
    assert_eq!(app.record(1).await["version"], 1);
}
