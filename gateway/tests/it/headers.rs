//! Which headers the service gets, and which come back.

use serde_json::{Value, json};

use crate::gateway::{Gateway, mirror, raw};

async fn seen(gateway: &Gateway, head: &[&str]) -> Value {
    gateway.ask("GET /reservations", head, "").await.json()["headers"].clone()
}

#[tokio::test]
async fn what_is_for_one_connection_alone_ends_there() {
    let gateway = Gateway::before(mirror().await).await;
    let headers = seen(
        &gateway,
        &[
            "Connection: X-One, keep-alive, x-TWO",
            "Connection: x-three",
            "X-One: 1",
            "X-Two: 2",
            "X-Three: 3",
            "X-Four: 4",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic c2VjcmV0",
            "TE: gzip",
            "Upgrade: websocket",
            "Trailer: X-Sum",
            "Expect: 100-continue",
        ],
    )
    .await;
    let gone = [
        "connection",
        "x-one",
        "x-two",
        "x-three",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "transfer-encoding",
        "upgrade",
        "expect",
    ];
    for name in gone {
        assert_eq!(headers[name], Value::Null, "{name}");
    }
    assert_eq!(headers["x-four"], json!(["4"]));
    assert_eq!(headers["trailer"], json!(["X-Sum"]));
}

#[tokio::test]
async fn of_te_only_trailers_goes_on() {
    let gateway = Gateway::before(mirror().await).await;
    let headers = seen(&gateway, &["TE: gzip;q=0.5, Trailers", "Connection: TE"]).await;
    assert_eq!((&headers["te"], &headers["connection"]), (&json!(["trailers"]), &json!(["te"])));
}

#[tokio::test]
async fn connection_cannot_take_away_what_the_gateway_says() {
    let gateway = Gateway::before(mirror().await).await;
    let named = "Connection: x-forwarded-for, x-request-id, traceparent, host, via, x-forwarded-host";
    let headers = seen(&gateway, &[named, "X-Request-Id: r-1"]).await;
    assert_eq!(headers["x-request-id"], json!(["r-1"]));
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(headers["via"], json!(["1.1 gateway"]));
    assert!(headers["traceparent"].is_array() && headers["host"].is_array());
}

#[tokio::test]
async fn where_a_request_comes_from_is_the_gateways_word_alone() {
    let upstream = mirror().await;
    let gateway = Gateway::before(upstream).await;
    let headers = seen(
        &gateway,
        &[
            "X-Forwarded-For: 10.9.9.9",
            "X-Forwarded-Host: evil.example",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Port: 443",
            "X-Real-IP: 10.9.9.9",
            "Forwarded: for=10.9.9.9",
        ],
    )
    .await;
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(headers["x-forwarded-host"], json!(["fleet.test"]));
    assert_eq!(headers["x-forwarded-proto"], json!(["http"]));
    assert_eq!(headers["host"], json!([upstream.to_string()]));
    for name in ["forwarded", "x-real-ip", "x-forwarded-port"] {
        assert_eq!(headers[name], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_in_front_is_believed_and_its_list_continued() {
    let gateway = Gateway::with(mirror().await, &[("forwarded.trust", "true")]).await;
    let headers = seen(
        &gateway,
        &["X-Forwarded-For: 10.9.9.9", "X-Forwarded-Host: hospital.example", "X-Forwarded-Proto: https"],
    )
    .await;
    assert_eq!(headers["x-forwarded-for"], json!(["10.9.9.9", "127.0.0.1"]));
    assert_eq!(headers["x-forwarded-host"], json!(["hospital.example"]));
    assert_eq!(headers["x-forwarded-proto"], json!(["https"]));
}

#[tokio::test]
async fn an_address_with_a_host_outweighs_the_host_header() {
    let gateway = Gateway::before(mirror().await).await;
    let seen = gateway.ask("GET http://clinic.example/reservations?x=1", &["Host: other.example"], "").await.json();
    assert_eq!(seen["address"], "/reservations?x=1");
    assert_eq!(seen["headers"]["x-forwarded-host"], json!(["clinic.example"]));
}

#[tokio::test]
async fn the_request_id_is_kept_or_made_and_told_to_both_sides() {
    let gateway = Gateway::before(mirror().await).await;
    let kept = gateway.ask("GET /reservations", &["X-Request-Id: mine-1"], "").await;
    assert_eq!(kept.header("x-request-id"), Some("mine-1"));
    assert_eq!(kept.json()["headers"]["x-request-id"], json!(["mine-1"]));
    let made = gateway.get("/reservations").await;
    assert_eq!(made.json()["headers"]["x-request-id"], json!([made.header("x-request-id").unwrap()]));
}

#[tokio::test]
async fn a_trace_is_continued_with_a_span_of_the_gateways_own() {
    let gateway = Gateway::before(mirror().await).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = seen(&gateway, &[&format!("traceparent: {parent}"), "tracestate: a=b"]).await;
    let child = headers["traceparent"][0].as_str().unwrap();
    assert!(child.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && child != parent, "{child}");
    assert_eq!(headers["tracestate"], json!(["a=b"]));
    assert!(seen(&gateway, &[]).await["traceparent"][0].as_str().unwrap().starts_with("00-"));
}

#[tokio::test]
async fn the_token_passes_on_and_the_service_learns_how_long_it_has() {
    let gateway = Gateway::before(mirror().await).await;
    let token = format!("Bearer {}", gateway.token_of("anna"));
    let headers = seen(&gateway, &[&format!("Authorization: {token}"), "X-Request-Timeout-Ms: 1"]).await;
    assert_eq!(headers["authorization"], json!([token]));
    assert_eq!(headers["x-request-timeout-ms"], json!(["10000"]));
}

#[tokio::test]
async fn what_the_service_says_for_its_connection_does_not_reach_the_client() {
    let (upstream, _) = raw(|_, mut wire| async move {
        wire.head().await;
        wire.write(
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
             Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
        )
        .await;
    })
    .await;
    let gateway = Gateway::before(upstream).await;
    let mut wire = gateway.connect().await;
    let answer = wire.ask(&gateway, "GET /reservations", &[], "").await;
    for name in ["connection", "x-hop", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!((answer.body.as_str(), answer.header("set-cookie")), ("ok", Some("a=1")));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(wire.ask(&gateway, "GET /reservations", &[], "").await.status, 200, "the client's connection lives on");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_with_a_problem() {
    let gateway = Gateway::before(mirror().await).await;
    let answer = gateway.ask("GET /reservations", &[&format!("X-Long: {}", "x".repeat(17_000))], "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (431, "headers-too-large"));
}
