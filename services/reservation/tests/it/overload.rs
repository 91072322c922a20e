//! A diagnosis that is known to be sick: refusals are cheap, and everything that needs no diagnosis goes on.

use axum::http::Method;

use crate::app::{TestApp, apps, jackson};
use crate::stand_in::Mood;

/// Asks a diagnosis that fails until the breaker has had enough; how many reservations were written down.
async fn until_the_breaker_opens(app: &TestApp) -> i64 {
    app.diagnosis.becomes(Mood::Breaks);
    let mut written = 0;
    while app.post(&jackson()).await.status == 202 {
        written += 1;
    }
    written
}

#[tokio::test]
async fn what_would_be_in_vain_is_refused_without_being_written_down() {
    for app in apps().await {
        let written = until_the_breaker_opens(&app).await;
        for _ in 0..5 {
            let refused = app.post(&jackson()).await;
            assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "2"));
        }
        app.insert_pending().await;
        assert_eq!(app.state(written + 1).await, "PENDING", "no number was taken in between");
    }
}

#[tokio::test]
async fn reading_and_cancelling_go_on_meanwhile() {
    for app in apps().await {
        let id = app.reserve().await;
        until_the_breaker_opens(&app).await;
        assert_eq!(app.state(id).await, "RESERVED");
        assert_eq!(app.get("/reservations").await.status, 200);
        assert_eq!(app.delete(id).await.status, 204);
    }
}

#[tokio::test]
async fn a_request_that_was_answered_before_hears_its_answer_again() {
    for app in apps().await {
        let repeated = async || {
            let request = app.request(Method::POST, "/reservations").header("idempotency-key", "once");
            request.json(&jackson()).send().await
        };
        let first = repeated().await;
        assert_eq!(first.status, 201);
        until_the_breaker_opens(&app).await;
        assert_eq!(repeated().await.text, first.text);
    }
}
