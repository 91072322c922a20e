//! No token, no entry; a customer sees only his own.

use axum::http::Method;
use chassis::testing::{NOW, Rig, request};
use serde_json::json;

use crate::app::{app, jackson};

#[tokio::test]
async fn without_a_token_nothing_is_done() {
    let app = app().await;
    for (method, path) in [
        (Method::GET, "/reservations"),
        (Method::POST, "/reservations"),
        (Method::GET, "/reservations/1"),
        (Method::PATCH, "/reservations/1"),
        (Method::PUT, "/reservations/1"),
        (Method::DELETE, "/reservations/1"),
    ] {
        let answer = request(&app.service, method.clone(), path).json(&jackson()).send().await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert!(app.diagnosis.asked().is_empty());
}

#[tokio::test]
async fn a_token_that_is_forged_expired_or_nonsense_opens_nothing() {
    let app = app().await;
    let elsewhere = Rig::new(reservation::ABOUT).issuer.token("desk-1", &["desk"]);
    for token in ["nonsense", "a.b.c", &elsewhere] {
        assert_eq!(app.request(Method::GET, "/reservations").bearer(token).send().await.status, 401, "{token}");
    }
    app.rig.chassis.clock.advance(std::time::Duration::from_secs(2 * 24 * 3600));
    assert_eq!(app.get("/reservations").await.status, 401, "long after {NOW}");
}

#[tokio::test]
async fn a_customer_sees_and_changes_only_his_own_and_learns_nothing_of_others() {
    let app = app().await;
    let mine = app.reserve_as(&app.bori).await;
    let other = app.reserve().await;
    let as_bori = |method, id: i64| app.request(method, &format!("/reservations/{id}")).bearer(&app.bori);
    assert_eq!(as_bori(Method::GET, mine).send().await.status, 200);
    for method in [Method::GET, Method::DELETE] {
        let answer = as_bori(method.clone(), other).send().await;
        assert_eq!(answer.status, 404, "{method}");
        assert_eq!(answer.text, as_bori(method, 77).send().await.text, "nobody can tell it from an unknown one");
    }
    for method in [Method::PATCH, Method::PUT] {
        assert_eq!(as_bori(method.clone(), other).json(&jackson()).send().await.status, 404, "{method}");
    }
    let list = app.request(Method::GET, "/reservations").bearer(&app.bori).send().await.json();
    assert_eq!(list["page"]["totalElements"], 1);
    assert_eq!(list["_embedded"]["reservations"][0]["id"], mine);
}

#[tokio::test]
async fn each_role_does_what_is_its_own() {
    let app = app().await;
    app.reserve().await;
    let status = async |role: &str, method: Method| {
        let token = app.rig.issuer.token("someone", &[role]);
        let path = if method == Method::POST { "/reservations" } else { "/reservations/1" };
        let body = if method == Method::PATCH { json!({}) } else { jackson() };
        app.request(method, path).bearer(&token).json(&body).send().await.status.as_u16()
    };
    for (role, read, write) in [("desk", 200, 201), ("admin", 200, 201), ("vet", 200, 403), ("service", 403, 403)] {
        assert_eq!(status(role, Method::GET).await, read, "{role} reads");
        assert_eq!(status(role, Method::POST).await, write, "{role} reserves");
    }
    assert_eq!(status("vet", Method::PATCH).await, 403);
    assert_eq!(status("vet", Method::DELETE).await, 403);
}
