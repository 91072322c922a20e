//! What every service answers, whatever it is about; over real sockets where the socket matters.

use axum::http::Method;
use axum::routing::get;
use chassis::config::Http;
use chassis::http::server;
use chassis::testing::{Rig, request};
use chassis::{About, Chassis, auth};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use utoipa_axum::router::OpenApiRouter;

const ABOUT: About = About { name: "test", version: "1.2.3", summary: "A test.", port: 8080, defaults: "" };

fn api(chassis: &Chassis) -> OpenApiRouter {
    let api = OpenApiRouter::new().route("/hello", get(async || "hello")).route(
        "/panic",
        get(async || {
            if true {
                panic!("on purpose")
            }
        }),
    );
    auth::protect(&chassis.verifier, api)
}

#[tokio::test]
async fn probes_and_metrics_need_no_token_and_the_rest_does() {
    let rig = Rig::new(ABOUT);
    let service = rig.serve(api(&rig.chassis));
    for path in [
        "/actuator/health",
        "/actuator/health/liveness",
        "/actuator/health/readiness",
        "/metrics",
        "/openapi.json",
        "/docs",
    ] {
        assert_eq!(request(&service, Method::GET, path).send().await.status, 200, "{path}");
    }
    assert_eq!(request(&service, Method::GET, "/hello").send().await.status, 401);
    let token = rig.issuer.token("someone", &[]);
    assert_eq!(request(&service, Method::GET, "/hello/").bearer(&token).send().await.text, "hello");
}

#[tokio::test]
async fn while_it_drains_it_is_alive_but_not_ready_and_asks_clients_to_leave() {
    let rig = Rig::new(ABOUT);
    let service = rig.serve(api(&rig.chassis));
    rig.chassis.lifecycle.drain();
    let status = async |path: &str| request(&service, Method::GET, path).send().await.status.as_u16();
    assert_eq!(status("/actuator/health/readiness").await, 503);
    assert_eq!(status("/actuator/health/liveness").await, 200);
    let token = rig.issuer.token("someone", &[]);
    let answer = request(&service, Method::GET, "/hello").bearer(&token).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
}

#[tokio::test]
async fn a_part_in_trouble_degrades_health_but_takes_nothing_out_of_service() {
    let rig = Rig::new(ABOUT);
    let service = rig.serve(api(&rig.chassis));
    rig.chassis.lifecycle.is_troubled("outbox", "the broker is away");
    let health = request(&service, Method::GET, "/actuator/health").send().await;
    assert_eq!((health.status.as_u16(), health.json()["status"].as_str()), (200, Some("DEGRADED")));
    assert_eq!(health.json()["components"]["outbox"]["reason"], "the broker is away");
    rig.chassis.lifecycle.is_well("outbox");
    assert_eq!(request(&service, Method::GET, "/actuator/health").send().await.json()["status"], "UP");
}

#[tokio::test]
async fn a_panic_is_an_opaque_error_of_one_request() {
    let rig = Rig::new(ABOUT);
    let service = rig.serve(api(&rig.chassis));
    let token = rig.issuer.token("someone", &[]);
    let answer = request(&service, Method::GET, "/panic").bearer(&token).send().await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text.contains("on purpose"), "{}", answer.text);
    assert_eq!(request(&service, Method::GET, "/hello").bearer(&token).send().await.status, 200);
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_a_plain_word_and_made_otherwise() {
    let rig = Rig::new(ABOUT);
    let service = rig.serve(api(&rig.chassis));
    let id = async |given: &str| {
        let answer = request(&service, Method::GET, "/metrics").header("x-request-id", given).send().await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id("abc-123").await, "abc-123");
    for unsafe_id in ["", "a b", "<script>", &"a".repeat(65)] {
        assert_ne!(id(unsafe_id).await, unsafe_id);
        assert_eq!(id(unsafe_id).await.len(), 16);
    }
}

/// A document that programs refuse is none.
#[tokio::test]
async fn every_response_of_the_document_has_a_description() {
    let rig = Rig::new(ABOUT);
    let db = chassis::testing::sqlite(&[]).await;
    let handler: chassis::events::Handler = std::sync::Arc::new(|_, _| Box::pin(async { Ok(()) }));
    let service = rig.serve(chassis::events::dead_letter::routes(&rig.chassis, &db, handler));
    let document = request(&service, Method::GET, "/openapi.json").send().await.json();
    let responses = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let mut seen = 0;
    for response in responses.flat_map(|operation| operation["responses"].as_object().unwrap().values()) {
        assert_ne!(response["description"], "", "{response}");
        seen += 1;
    }
    assert!(seen >= 3);
}

async fn listen() -> (server::Listener, String) {
    let rig = Rig::new(ABOUT);
    let http = Http { port: 0, ..rig.chassis.config.http };
    let listener = server::listen(&http).await.unwrap();
    let address = listener.address.to_string();
    (listener, address)
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let (taken, _) = listen().await;
    let rig = Rig::new(ABOUT);
    let http = Http { port: taken.address.port(), ..rig.chassis.config.http };
    let error = server::listen(&http).await.err().unwrap().to_string();
    assert!(error.contains("HTTP_PORT") && error.contains(&taken.address.port().to_string()), "{error}");
}

#[tokio::test]
async fn a_stop_drains_idle_connections_and_ends() {
    let rig = Rig::new(ABOUT);
    let (listener, address) = listen().await;
    let service = rig.serve(api(&rig.chassis));
    let chassis = rig.chassis.clone();
    let serving = tokio::spawn(async move { server::until_stopped(&chassis, listener, service).await });

    let mut client = TcpStream::connect(&address).await.unwrap();
    client.write_all(b"GET /actuator/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    rig.chassis.lifecycle.drain();
    serving.await.unwrap().unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(&address).await.is_err());
}
