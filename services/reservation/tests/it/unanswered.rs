//! Diagnosis may have heard or not: nothing stays half made for longer than half a minute.

use reservation::store;
use serde_json::json;

use crate::app::{TestApp, apps, jackson};
use crate::stand_in::Mood;

/// Longer than the asking itself may take.
const A_MOMENT: u64 = 5;
const TOO_LONG: u64 = 21;

async fn pending(app: &TestApp) {
    app.diagnosis.becomes(Mood::Breaks);
    let answer = app.post(&jackson()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json()["state"], "PENDING");
    assert!(answer.header("location").ends_with("/reservations/1"));
    assert!(app.events().await.is_empty(), "pending is nobody else's business");
}

#[tokio::test]
async fn an_unanswered_reservation_is_confirmed_when_diagnosis_comes_back() {
    for app in apps().await {
        pending(&app).await;
        app.diagnosis.becomes(Mood::Accepts);
        app.settle_after(A_MOMENT).await;
        assert_eq!(app.state(1).await, "RESERVED");
        assert_eq!(app.events().await, ["ReservationReserved"]);
    }
}

#[tokio::test]
async fn an_unanswered_reservation_that_is_refused_later_is_told_to_its_customer() {
    for app in apps().await {
        pending(&app).await;
        app.diagnosis.becomes(Mood::Refuses);
        app.settle_after(A_MOMENT).await;
        assert_eq!(app.state(1).await, "REJECTED");
        assert_eq!(app.events().await, ["ReservationCanceled"]);
    }
}

#[tokio::test]
async fn an_unanswered_reservation_is_cancelled_in_time_also_if_diagnosis_stays_away() {
    for app in apps().await {
        pending(&app).await;
        app.settle_after(A_MOMENT).await;
        assert_eq!(app.state(1).await, "PENDING");
        app.settle_after(TOO_LONG).await;
        assert_eq!(app.state(1).await, "CANCELED");
        assert_eq!(app.events().await, ["ReservationCanceled"], "it makes diagnosis let go");
    }
}

#[tokio::test]
async fn the_reconciler_leaves_alone_whom_someone_still_asks_for() {
    for app in apps().await {
        pending(&app).await;
        let asked = app.diagnosis.asked().len();
        app.settle_after(1).await;
        assert_eq!(app.diagnosis.asked().len(), asked);
    }
}

#[tokio::test]
async fn an_unanswered_change_of_date_is_settled_or_given_up_and_the_old_date_stays() {
    for app in apps().await {
        app.reserve().await;
        app.diagnosis.becomes(Mood::Breaks);
        let answer = app.patch(1, &json!({"reservationDate": "2020-05-01"})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.json()["reservationDate"], "2020-04-30");
        assert_eq!(answer.json()["requestedDate"], "2020-05-01");
        assert_eq!(app.patch(1, &json!({"reservationDate": "2020-05-02"})).await.status, 409);
        app.settle_after(A_MOMENT).await;
        app.settle_after(TOO_LONG).await;
        let now = app.get("/reservations/1").await.json();
        assert_eq!((now["reservationDate"].as_str(), now["requestedDate"].as_str()), (Some("2020-04-30"), None));
        assert_eq!(app.events().await, ["ReservationReserved", "ReservationChangeAbandoned"]);
    }
}

#[tokio::test]
async fn an_unanswered_change_of_date_is_made_when_diagnosis_comes_back() {
    for app in apps().await {
        app.reserve().await;
        app.diagnosis.becomes(Mood::Breaks);
        app.patch(1, &json!({"reservationDate": "2020-05-01", "reservatorName": "Bori"})).await;
        app.diagnosis.becomes(Mood::Accepts);
        app.settle_after(A_MOMENT).await;
        let now = app.get("/reservations/1").await.json();
        assert_eq!(
            (now["reservationDate"].as_str(), now["reservatorName"].as_str()),
            (Some("2020-05-01"), Some("Bori"))
        );
        assert_eq!(app.events().await, ["ReservationReserved", "ReservationChanged"]);
    }
}

#[tokio::test]
async fn what_was_written_by_a_clock_that_was_an_hour_ahead_is_not_waited_for() {
    for app in apps().await {
        app.insert_pending().await;
        let ahead = app.rig.chassis.clock.now_ms() + 3_600_000;
        app.db
            .write(move |tx| {
                Box::pin(async move {
                    sqlx::query("UPDATE reservation SET settle_after = $1, decide_by = $1")
                        .bind(ahead)
                        .execute(&mut **tx)
                        .await?;
                    Ok::<(), chassis::DbError>(())
                })
            })
            .await
            .unwrap();
        app.diagnosis.becomes(Mood::Breaks);
        app.settle_after(0).await;
        assert_eq!(app.state(1).await, "PENDING", "it is asked about, and given up no sooner than others");
        app.settle_after(TOO_LONG).await;
        assert_eq!(app.state(1).await, "CANCELED");
    }
}

/// Another replica's reconciler takes over whatever waits, and asks.
async fn another_asks(app: &TestApp) {
    let later = app.rig.chassis.clock.now_ms() + 5_000;
    assert_eq!(store::claim_unsettled(&app.db, later, later + 4_000, later + 20_000, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_reconciler_has_asked_for_as_well_is_not_taken_back() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Waits);
        let asking = async {
            app.diagnosis.until_asked().await;
            another_asks(&app).await;
            app.diagnosis.becomes(Mood::Sheds);
            app.diagnosis.release();
        };
        let body = jackson();
        let (answer, ()) = tokio::join!(app.post(&body), asking);
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(app.state(1).await, "PENDING", "diagnosis may hold its visit");
    }
}

#[tokio::test]
async fn a_change_that_the_reconciler_has_asked_for_as_well_is_not_taken_back() {
    for app in apps().await {
        app.reserve().await;
        app.diagnosis.until_asked().await;
        app.diagnosis.becomes(Mood::Waits);
        let asking = async {
            app.diagnosis.until_asked().await;
            another_asks(&app).await;
            app.diagnosis.becomes(Mood::Sheds);
            app.diagnosis.release();
        };
        let body = json!({"reservationDate": "2020-05-01"});
        let (answer, ()) = tokio::join!(app.patch(1, &body), asking);
        assert_eq!((answer.status.as_u16(), answer.json()["requestedDate"].as_str()), (202, Some("2020-05-01")));
    }
}

#[tokio::test]
async fn not_being_let_in_after_a_silence_does_not_undo_what_may_have_been_heard() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::BreaksAndForgetsUs);
        assert_eq!(app.post(&jackson()).await.status, 202);
        assert_eq!(app.state(1).await, "PENDING");
    }
}

#[tokio::test]
async fn a_backlog_of_many_is_settled_in_one_go() {
    for app in apps().await {
        app.diagnosis.becomes(Mood::Breaks);
        let many = 300;
        for _ in 0..many {
            app.insert_pending().await;
        }
        app.diagnosis.becomes(Mood::Accepts);
        app.settle_after(A_MOMENT).await;
        assert_eq!(app.events().await.len(), many);
    }
}
