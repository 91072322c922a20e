//! What goes through unchanged: addresses, bodies as they come, connections that are used again, odd answers.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get};

use crate::gateway::{Gateway, mirror, raw, serve};

#[tokio::test]
async fn method_address_query_and_odd_letters_arrive_as_they_were_sent() {
    let gateway = Gateway::before(mirror().await).await;
    for path in [
        "/reservations",
        "/reservations/1?state=RESERVED&page=0",
        "/reservations/%ED%95%9C/a%2Fb?q=%20+",
        "/reservations/a;b=c",
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
            let seen = gateway.ask(&format!("{method} {path}"), &[], "").await.json();
            assert_eq!((seen["method"].as_str(), seen["address"].as_str()), (Some(method), Some(path)));
        }
    }
}

#[tokio::test]
async fn a_trailing_slash_is_accepted() {
    let gateway = Gateway::before(mirror().await).await;
    assert_eq!(gateway.get("/reservations/").await.json()["address"], "/reservations");
    assert_eq!(gateway.get("/reservations/7/?x=1").await.json()["address"], "/reservations/7?x=1");
}

#[tokio::test]
async fn a_path_that_only_begins_like_a_route_is_none() {
    let gateway = Gateway::before(mirror().await).await;
    for path in ["/reservationsX", "/visits", "/visits/1", "/reservation", "/%2Freservations"] {
        let answer = gateway.ask(&format!("GET {path}"), &["Authorization: none"], "").await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
    }
}

#[tokio::test]
async fn chunks_pass_in_both_directions_while_the_others_are_still_to_come() {
    let echo = Router::new().fallback(any(async |request: Request| Body::new(request.into_body())));
    let gateway = Gateway::before(serve(echo).await.0).await;
    let mut wire = gateway.connect().await;
    let token = gateway.token_of("anna");
    wire.write(&format!(
        "POST /reservations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200"));
    for word in ["one", "two", "six"] {
        wire.write(&format!("3\r\n{word}\r\n")).await;
        assert_eq!(wire.read_to(&format!("{word}\r\n")).await, format!("3\r\n{word}\r\n"));
    }
    wire.write("0\r\n\r\n").await;
    assert_eq!(wire.read_to("0\r\n\r\n").await, "0\r\n\r\n");
}

#[tokio::test]
async fn one_connection_to_the_service_serves_many_requests_of_many_clients() {
    let (upstream, connections) = serve(Router::new().fallback(any(async |_: Body| "well"))).await;
    let gateway = Gateway::before(upstream).await;
    for _ in 0..20 {
        assert_eq!(gateway.ask("POST /reservations", &[], "{}").await.body, "well");
    }
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections <= 2, "{connections} connections for 20 requests one after another");
}

#[tokio::test]
async fn an_idle_connection_that_the_service_has_closed_costs_no_request_not_even_a_post() {
    let (closed, mut was_closed) = tokio::sync::mpsc::unbounded_channel();
    let (upstream, connections) = raw(move |_, mut wire| {
        let closed = closed.clone();
        async move {
            wire.read_to("{}").await;
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").await;
            tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
            assert!(wire.has_ended().await);
            closed.send(()).unwrap();
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    for tries in 1..=5 {
        assert_eq!(gateway.ask("POST /reservations", &[], "{}").await.body, "well");
        was_closed.recv().await.unwrap();
        assert_eq!(connections.load(Ordering::Relaxed), tries);
    }
}

#[tokio::test]
async fn answers_without_a_body_keep_what_they_say_of_it() {
    let app = Router::new()
        .route("/reservations/204", any(StatusCode::NO_CONTENT))
        .route("/reservations/sized", get("seven b"));
    let gateway = Gateway::before(serve(app).await.0).await;
    let none = gateway.ask("DELETE /reservations/204", &[], "").await;
    assert_eq!((none.status, none.header("content-length"), none.header("transfer-encoding")), (204, None, None));
    let head = gateway.ask("HEAD /reservations/sized", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("7")));
}

#[tokio::test]
async fn nobody_makes_a_length_up_for_a_body_that_is_not_there() {
    let (upstream, _) = raw(|_, mut wire| async move {
        loop {
            let status = if wire.head().await.starts_with("HEAD") { "200 OK" } else { "304 Not Modified" };
            wire.write(&format!("HTTP/1.1 {status}\r\nETag: \"3\"\r\n\r\n")).await;
        }
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let mut wire = gateway.connect().await;
    for line in ["HEAD /reservations", "GET /reservations", "GET /reservations", "HEAD /reservations"] {
        let answer = wire.ask(&gateway, line, &["If-None-Match: \"3\""], "").await;
        assert_eq!(
            (answer.header("etag"), answer.header("content-length")),
            (Some("\"3\""), None),
            "{line}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn the_services_own_refusal_passes_untouched() {
    let refusal = async || {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/problem+json".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("allow", "GET, POST".parse().unwrap());
        (StatusCode::SERVICE_UNAVAILABLE, headers, "{ \"type\": \"urn:problem:its-own\" }").into_response()
    };
    let (upstream, _) = serve(Router::new().fallback(any(refusal))).await;
    let answer = Gateway::before(upstream).await.get("/reservations").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "its-own"));
    assert_eq!(answer.body, "{ \"type\": \"urn:problem:its-own\" }");
    assert_eq!((answer.header("retry-after"), answer.header("allow")), (Some("7"), Some("GET, POST")));
}

#[tokio::test]
async fn a_wrong_method_is_the_services_own_answer() {
    let (upstream, _) = serve(Router::new().route("/reservations", get("list"))).await;
    let answer = Gateway::before(upstream).await.ask("DELETE /reservations", &[], "").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")));
}
