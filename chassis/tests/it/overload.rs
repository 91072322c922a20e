//! More than a service can do: what is refused, what never is, and clients that take their time.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::Method;
use axum::routing::{get, post};
use chassis::http::extract::Json;
use chassis::http::server;
use chassis::testing::{Rig, TestAnswer, request};
use chassis::{About, auth};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use utoipa_axum::router::OpenApiRouter;

const ABOUT: About = About { name: "test", version: "1", summary: "", port: 8080, defaults: "" };

fn is_overloaded(answer: &TestAnswer) -> bool {
    (answer.status.as_u16(), answer.json()["type"].as_str()) == (503, Some("urn:problem:overloaded"))
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once_and_a_probe_never() {
    let rig = Rig::with(ABOUT, &[("http.max_in_flight", "1")]);
    let (told, mut tells) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let slow = async move || {
        told.send(()).unwrap();
        waits.notified().await;
    };
    let service = rig.serve(auth::protect(&rig.chassis.verifier, OpenApiRouter::new().route("/slow", get(slow))));
    let token = rig.issuer.token("someone", &[]);

    let first = tokio::spawn(request(&service, Method::GET, "/slow").bearer(&token).send());
    tells.recv().await.unwrap();
    let refused = request(&service, Method::GET, "/slow").send().await;
    assert!(is_overloaded(&refused), "before anybody asks for a token: {refused:?}");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(refused.header(chassis::client::NOT_DONE_HEADER), "true");
    for path in ["/actuator/health", "/actuator/health/liveness", "/actuator/health/readiness", "/metrics"] {
        assert_eq!(request(&service, Method::GET, path).send().await.status, 200, "{path}");
    }

    go_on.notify_one();
    assert_eq!(first.await.unwrap().status, 200);
    go_on.notify_one();
    assert_eq!(request(&service, Method::GET, "/slow").bearer(&token).send().await.status, 200);
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_given_up() {
    let rig = Rig::with(ABOUT, &[("http.body_timeout", "20ms")]);
    let api = OpenApiRouter::new().route("/echo", post(async |Json(_): Json<serde_json::Value>| "read"));
    let service = rig.serve(api);
    let never_ends = trickle();
    let late = request(&service, Method::POST, "/echo").body(never_ends).send().await;
    assert_eq!((late.status.as_u16(), late.json()["type"].as_str()), (408, Some("urn:problem:request-timeout")));
    assert_eq!(request(&service, Method::POST, "/echo").body("{}").send().await.text, "read");
}

/// Begins, and then goes on a byte at a time for ever.
fn trickle() -> Body {
    let bytes = futures_util::stream::unfold((), async |()| {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), ()))
    });
    Body::from_stream(bytes)
}

/// A service on a socket; it serves until the test ends.
async fn serve(settings: &[(&str, &str)]) -> String {
    let settings: Vec<_> = settings.iter().copied().chain([("http.port", "0")]).collect();
    let rig = Rig::with(ABOUT, &settings);
    let service = rig.serve(OpenApiRouter::new().route("/hello", get(async || "hello")));
    let listener = server::listen(&rig.chassis.config.http).await.unwrap();
    let address = listener.address.to_string();
    tokio::spawn(async move { server::until_stopped(&rig.chassis, listener, service).await });
    address
}

async fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// All that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_closed_but_a_probe_is_answered() {
    let address = serve(&[("http.max_connections", "1")]).await;
    let mut first = TcpStream::connect(&address).await.unwrap();
    ask(&mut first, "/hello").await;
    let mut head = [0; 12];
    first.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");

    let mut second = TcpStream::connect(&address).await.unwrap();
    ask(&mut second, "/hello").await;
    let refused = rest(&mut second).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after"), "{refused}");
    let mut probe = TcpStream::connect(&address).await.unwrap();
    ask(&mut probe, "/actuator/health/liveness").await;
    assert!(rest(&mut probe).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_without_a_whole_head_are_closed_and_others_do_not_notice() {
    let address = serve(&[("http.header_timeout", "50ms")]).await;
    let mut idle = TcpStream::connect(&address).await.unwrap();
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(b"GET /hello HTTP/1.1\r\nhos").await.unwrap();
    let mut other = TcpStream::connect(&address).await.unwrap();
    ask(&mut other, "/hello").await;
    let mut head = [0; 12];
    other.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    rest(&mut half).await;
    rest(&mut idle).await;
}
