//! Who gets in: tokens, open mode, public routes, and how often.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;

use crate::gateway::{Gateway, mirror, raw, serve};

#[tokio::test]
async fn without_a_valid_token_nothing_reaches_the_service() {
    let (upstream, connections) = raw(|_, _| async {}).await;
    let gateway = Gateway::before(upstream).await;
    for authorization in ["", "Bearer", "Bearer not.a.token", "Basic YTpi", "Bearer eyJhbGciOiJub25lIn0.e30."] {
        for path in ["/reservations", "/reservations/1", "/notices"] {
            let answer = gateway.ask(&format!("GET {path}"), &[&format!("Authorization: {authorization}")], "").await;
            assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{authorization} {path}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_a_caller_may_do_is_the_services_decision() {
    let (upstream, _) = serve(Router::new().fallback(any((StatusCode::FORBIDDEN, "not you")))).await;
    let answer = Gateway::before(upstream).await.get("/reservations").await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "not you"));
}

#[tokio::test]
async fn a_public_route_needs_no_token_and_lets_any_through() {
    let gateway = Gateway::before(mirror().await).await;
    for authorization in ["Authorization: ", "Authorization: Basic YTpi"] {
        assert_eq!(gateway.ask("POST /open/token", &[authorization], "").await.status, 200);
    }
}

#[tokio::test]
async fn in_open_mode_no_token_is_needed_but_a_bad_one_is_refused() {
    let gateway = Gateway::with(mirror().await, &[("auth.mode", "open")]).await;
    let mut wire = gateway.connect().await;
    wire.write("GET /reservations HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.answer(false).await.status, 200);
    assert_eq!(gateway.ask("GET /reservations", &["Authorization: Bearer x"], "").await.status, 401);
}

#[tokio::test]
async fn a_client_that_asks_too_often_waits_and_the_others_do_not() {
    let settings = [("rate_limit.per_second", "1"), ("rate_limit.burst", "3")];
    let gateway = Gateway::with(mirror().await, &settings).await;
    let anna = format!("Authorization: Bearer {}", gateway.token_of("anna"));
    let mut refused = None;
    for _ in 0..50 {
        let answer = gateway.ask("GET /reservations", &[&anna], "").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("50 requests at once are more than 3 and one a second");
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("too-many-requests", Some("1")));

    let anna_again = format!("Authorization: Bearer {}", gateway.token_of("anna"));
    assert_ne!(anna, anna_again);
    assert_eq!(gateway.ask("GET /reservations", &[&anna_again], "").await.status, 429, "a new token is no new client");
    let bert = format!("Authorization: Bearer {}", gateway.token_of("bert"));
    assert_eq!(gateway.ask("GET /reservations", &[&bert], "").await.status, 200);
    assert_eq!(gateway.ask("GET /open", &[], "").await.status, 200, "the address has a bucket of its own");
}

#[tokio::test]
async fn guessing_tokens_uses_up_the_addresss_rate() {
    let settings = [("rate_limit.per_second", "1"), ("rate_limit.burst", "3")];
    let gateway = Gateway::with(mirror().await, &settings).await;
    let mut guessed = Vec::new();
    for _ in 0..50 {
        guessed.push(gateway.ask("GET /reservations", &["Authorization: Bearer x"], "").await.status);
    }
    assert!(guessed.contains(&401) && guessed.contains(&429), "{guessed:?}");
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_of_its_clients_has_a_rate() {
    let settings = [("rate_limit.per_second", "1"), ("rate_limit.burst", "1"), ("forwarded.trust", "true")];
    let gateway = Gateway::with(mirror().await, &settings).await;
    for client in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        // What the client itself claims stands in front and does not count.
        let forwarded = format!("X-Forwarded-For: 1.1.1.1, {client}");
        assert_eq!(gateway.ask("GET /open", &[&forwarded], "").await.status, 200, "{client}");
    }
}
