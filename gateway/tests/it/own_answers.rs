//! What the gateway answers itself: its index, the document of all services, browsers' questions, probes.

use axum::Router;
use axum::routing::{any, get};
use serde_json::json;

use crate::gateway::{Gateway, mirror, raw, serve};

const NO_TOKEN: &str = "Authorization: ";
const ORIGIN: &str = "Origin: https://desk.example";

#[tokio::test]
async fn the_index_names_the_routes_to_everyone() {
    let gateway = Gateway::before(mirror().await).await;
    let answer = gateway.ask("GET /", &[NO_TOKEN], "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/hal+json")));
    let links = &answer.json()["_links"];
    assert_eq!(links["reservations"]["href"], "/reservations");
    assert_eq!(links["docs"]["href"], "/docs");
}

#[tokio::test]
async fn probes_and_the_page_are_the_gateways_own() {
    let gateway = Gateway::before(mirror().await).await;
    for path in ["/actuator/health", "/actuator/health/readiness", "/metrics", "/docs"] {
        assert_eq!(gateway.ask(&format!("GET {path}"), &[NO_TOKEN], "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_document_shows_what_is_routed_and_says_who_is_missing() {
    let document = json!({
        "openapi": "3.1.0",
        "paths": {
            "/reservations": {"get": {"responses": {}, "tags": ["x"]}},
            "/reservations/{id}": {"get": {"responses": {}}},
            "/open/token": {"post": {"responses": {}}},
            "/visits": {"post": {"responses": {}}},
        },
        "components": {"schemas": {"Reservation": {"type": "object"}}},
    });
    let app = Router::new().route("/openapi.json", get(async move || axum::Json(document)));
    let gateway = Gateway::before(serve(app).await.0).await;
    let whole = gateway.ask("GET /openapi.json", &[NO_TOKEN], "").await.json();
    let paths: Vec<_> = whole["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(paths, ["/open/token", "/reservations", "/reservations/{id}"]);
    assert_eq!(whole["paths"]["/reservations"]["get"]["tags"], json!(["reservation"]));
    assert_eq!(whole["paths"]["/open/token"]["post"]["security"], json!([]));
    assert_eq!(whole["components"]["schemas"]["Reservation"]["type"], "object");
    let description = whole["info"]["description"].as_str().unwrap();
    assert!(description.contains("missing here: notice."), "{description}");
}

#[tokio::test]
async fn a_services_document_that_is_none_is_left_out() {
    for body in ["[]", "no", "{\"paths\": [], \"components\": 3}"] {
        let app = Router::new().fallback(any(async move || body));
        let gateway = Gateway::before(serve(app).await.0).await;
        let answer = gateway.ask("GET /openapi.json", &[NO_TOKEN], "").await;
        assert_eq!((answer.status, &answer.json()["paths"]), (200, &json!({})), "{body}");
    }
}

#[tokio::test]
async fn a_browsers_question_is_answered_without_token_and_without_the_service() {
    let (upstream, connections) = raw(|_, _| async {}).await;
    let gateway = Gateway::before(upstream).await;
    let question = [
        NO_TOKEN,
        ORIGIN,
        "Access-Control-Request-Method: PATCH",
        "Access-Control-Request-Headers: authorization,if-match",
    ];
    let answer = gateway.ask("OPTIONS /reservations/1", &question, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,if-match"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn any_other_options_goes_to_the_service() {
    let gateway = Gateway::before(mirror().await).await;
    assert_eq!(gateway.ask("OPTIONS /reservations", &[], "").await.json()["method"], "OPTIONS");
}

#[tokio::test]
async fn a_page_may_read_answers_and_refusals_and_their_headers() {
    let gateway = Gateway::before(mirror().await).await;
    for head in [vec![ORIGIN], vec![ORIGIN, NO_TOKEN]] {
        let answer = gateway.ask("GET /reservations", &head, "").await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{}", answer.status);
        assert!(answer.header("access-control-expose-headers").unwrap().contains("etag"));
    }
    assert_eq!(gateway.get("/reservations").await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn with_origins_named_a_stranger_gets_no_permission() {
    let settings = [("cors.origins", "[\"https://desk.example\"]"), ("cors.credentials", "true")];
    let gateway = Gateway::with(mirror().await, &settings).await;
    for (origin, allowed) in
        [("https://desk.example", Some("https://desk.example")), ("https://evil.example", None), ("null", None)]
    {
        let question = [NO_TOKEN, &format!("Origin: {origin}"), "Access-Control-Request-Method: POST"];
        let answer = gateway.ask("OPTIONS /reservations", &question, "").await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
        assert_eq!(answer.header("access-control-allow-methods").is_some(), allowed.is_some());
        assert_eq!(answer.header("access-control-allow-credentials"), allowed.map(|_| "true"));
    }
}
