use axum::http::Method;

use crate::app::apps;
use crate::stand_in::Mood;

#[tokio::test]
async fn a_cancelled_reservation_stays_readable_and_a_second_cancellation_is_harmless() {
    for app in apps().await {
        app.reserve().await;
        assert_eq!(app.delete(1).await.status, 204);
        assert_eq!(app.state(1).await, "CANCELED");
        assert_eq!(app.delete(1).await.status, 204);
        assert_eq!(app.events().await, ["ReservationReserved", "ReservationCanceled"]);
    }
}

#[tokio::test]
async fn cancelling_needs_nobody_else() {
    for app in apps().await {
        app.reserve().await;
        app.diagnosis.becomes(Mood::Breaks);
        let asked = app.diagnosis.asked().len();
        assert_eq!(app.delete(1).await.status, 204);
        assert_eq!(app.diagnosis.asked().len(), asked);
    }
}

#[tokio::test]
async fn cancelling_an_older_version_or_an_unknown_one_is_refused() {
    for app in apps().await {
        app.reserve().await;
        let stale = app.request(Method::DELETE, "/reservations/1").header("if-match", "\"0\"").send().await;
        assert_eq!(stale.status, 412);
        assert_eq!(app.delete(77).await.status, 404);
        assert_eq!(app.state(1).await, "RESERVED");
    }
}
