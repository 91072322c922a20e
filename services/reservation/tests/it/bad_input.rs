//! Each kind of bad input gets its answer, names the field, and leaves nothing behind.

use axum::http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, app, jackson};

fn with(field: &str, value: Value) -> String {
    let mut body = jackson();
    body[field] = value;
    body.to_string()
}

async fn post_raw(app: &TestApp, body: impl Into<Vec<u8>>) -> chassis::testing::TestAnswer {
    let request = app.request(Method::POST, "/reservations").header("content-type", "application/json");
    request.body(body.into()).send().await
}

async fn is_clean(app: &TestApp) {
    assert_eq!(app.get("/reservations").await.json()["page"]["totalElements"], 0);
    assert!(app.events().await.is_empty());
    assert!(app.diagnosis.asked().is_empty());
}

#[tokio::test]
async fn fields_that_are_not_acceptable_are_named() {
    let app = app().await;
    for (body, field) in [
        (with("reservatorName", json!(12)), "reservatorName"),
        (with("reservatorName", json!(null)), "reservatorName"),
        (with("reservatorName", json!("  ")), "reservatorName"),
        (with("reservatorName", json!("a".repeat(101))), "reservatorName"),
        (with("reservationDate", json!("2026-02-30")), "reservationDate"),
        (with("reservationDate", json!(["2026-02-03"])), "reservationDate"),
        (with("phoneNumber", json!("none of your business")), "phoneNumber"),
        (with("phoneNumber", json!({"number": 1})), "phoneNumber"),
        ("[]".to_owned(), "(body)"),
        ("\"text\"".to_owned(), "(body)"),
    ] {
        let answer = post_raw(&app, body.clone()).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.fields(), [field], "{body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let nothing = post_raw(&app, "{}").await;
    assert_eq!(nothing.fields(), ["reservatorName", "reservationDate", "phoneNumber"]);
    is_clean(&app).await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_bad_request() {
    let app = app().await;
    let bomb = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for body in ["", "{", "name=Jackson", "{\"reservatorName\":\"a\",\"reservatorName\":\"b\"}", &bomb] {
        assert_eq!(post_raw(&app, body).await.status, 400, "{}", &body[..body.len().min(50)]);
    }
    assert_eq!(post_raw(&app, b"{\"reservatorName\":\"\xff\xfe\"}".to_vec()).await.status, 400);
    is_clean(&app).await;
}

#[tokio::test]
async fn the_wrong_media_type_size_method_or_address_is_answered_as_such() {
    let app = app().await;
    let text = app.request(Method::POST, "/reservations").header("content-type", "text/plain").body("hello");
    assert_eq!(text.send().await.status, 415);
    assert_eq!(post_raw(&app, with("reservatorName", json!("a".repeat(65 * 1024)))).await.status, 413);
    let large = app.request(Method::GET, "/reservations").header("x-large", &"a".repeat(17 * 1024)).send().await;
    assert_eq!(large.status, 431);
    assert_eq!(large.header("content-type"), "application/problem+json");
    let wrong = app.request(Method::DELETE, "/reservations").send().await;
    assert_eq!(wrong.status, 405);
    assert!(
        wrong.header("allow").contains("POST") && wrong.header("allow").contains("GET"),
        "{}",
        wrong.header("allow")
    );
    assert_eq!(app.get("/reservation").await.status, 404);
    for id in ["abc", "1.5", "99999999999999999999", "-1", "77"] {
        for method in [Method::GET, Method::DELETE] {
            let answer = app.request(method, &format!("/reservations/{id}")).send().await;
            assert_eq!(answer.status, 404, "{id}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    is_clean(&app).await;
}

#[tokio::test]
async fn a_wrong_query_is_named() {
    let app = app().await;
    for (query, name) in
        [("page=-1", "page"), ("size=0", "size"), ("size=many", "size"), ("state=LOST", "state"), ("sort=name", "sort")]
    {
        let answer = app.get(&format!("/reservations?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text.contains(name), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_patch_cannot_remove_what_is_needed() {
    let app = app().await;
    app.reserve().await;
    let answer = app.patch(1, &json!({"phoneNumber": null, "reservationDate": null})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.fields()),
        (422, vec!["reservationDate".to_owned(), "phoneNumber".to_owned()])
    );
    assert_eq!(app.patch(1, &json!({"reservationDate": "2026-02-30"})).await.status, 422);
    assert_eq!(app.events().await, ["ReservationReserved"]);
}

#[tokio::test]
async fn what_is_harmless_is_accepted() {
    let app = app().await;
    let unknown_field = with("pet", json!("Bori"));
    assert_eq!(post_raw(&app, unknown_field).await.status, 201);
    let no_content_type = app.request(Method::POST, "/reservations/").body(jackson().to_string()).send().await;
    assert_eq!(no_content_type.status, 201, "and a trailing slash");
    let patch = app.request(Method::PATCH, "/reservations/1").header("content-type", "application/merge-patch+json");
    assert_eq!(patch.body("{\"reservatorName\":\"Bori\"}").send().await.status, 200);
}
