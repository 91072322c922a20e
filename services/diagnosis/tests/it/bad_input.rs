//! Bad input gets the named answer, with the field named, and leaves nothing behind.

use axum::http::Method;
use serde_json::{Value, json};

use crate::app::{app, reserved};

#[tokio::test]
async fn a_wrong_field_is_named() {
    let app = app(&[]).await;
    let long = |length: usize| "가".repeat(length);
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &["reservationId"]),
        (json!({"reservationId": null}), &["reservationId"]),
        (json!({"reservationId": 0}), &["reservationId"]),
        (json!({"reservationId": -1}), &["reservationId"]),
        (json!({"reservationId": "abc"}), &["reservationId"]),
        (json!({"reservationId": 1.5}), &["reservationId"]),
        (json!({"reservationId": 1, "reservationDate": "2026-02-30"}), &["reservationDate"]),
        (json!({"reservationId": 1, "reservationDate": ""}), &["reservationDate"]),
        (json!({"reservationId": 1, "reservationDate": "tomorrow"}), &["reservationDate"]),
        (json!({"reservationId": 1, "reservationDate": 20200501}), &["reservationDate"]),
        (json!({"reservationId": 1, "doctor": " "}), &["doctor"]),
        (json!({"reservationId": 1, "doctor": long(101)}), &["doctor"]),
        (json!({"reservationId": 1, "doctor": ["D"]}), &["doctor"]),
        (json!({"reservationId": 1, "treatment": ""}), &["treatment"]),
        (json!({"reservationId": 1, "treatment": long(4001)}), &["treatment"]),
        (json!({"reservationId": 1, "medicalOpinion": "a\0b"}), &["medicalOpinion"]),
        (json!({"reservationId": 1, "customerId": ""}), &["customerId"]),
        (json!([]), &["(body)"]),
        (json!([1, null, null, null, null, null]), &["(body)"]),
        (json!("text"), &["(body)"]),
        (
            json!({"reservationDate": "x", "doctor": "", "treatment": "", "medicalOpinion": ""}),
            &["reservationId", "reservationDate", "doctor", "treatment", "medicalOpinion"],
        ),
    ];
    for (body, fields) in cases {
        let answer = app.ask(&body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        assert_eq!(answer.fields(), fields, "{body}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(app.count().await, 0);
    let good = app.ask(&json!({"reservationId": 1, "doctor": long(100), "shoeSize": 43})).await;
    assert_eq!(good.status, 201, "a hundred characters and an unknown field are fine");
}

#[tokio::test]
async fn a_wrong_patch_names_its_field_and_writes_nothing() {
    let app = app(&[]).await;
    let id = app.hold(1, "2020-05-01").await;
    app.reservation_says(&reserved(1, "2020-05-01")).await;
    let before = app.record(1).await;
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({"doctor": null}), &["doctor"]),
        (json!({"doctor": ""}), &["doctor"]),
        (json!({"doctor": 5}), &["doctor"]),
        (json!({"doctor": "x".repeat(101)}), &["doctor"]),
        (json!({"treatment": null, "medicalOpinion": "  "}), &["treatment", "medicalOpinion"]),
        (json!([]), &["(body)"]),
    ];
    for (body, fields) in cases {
        let answer = app.vet_writes(id, &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.fields()),
            (422, fields.iter().map(|f| f.to_string()).collect()),
            "{body}"
        );
    }
    assert_eq!(app.record(1).await, before);
}

#[tokio::test]
async fn what_is_no_json_is_a_bad_request() {
    let app = app(&[]).await;
    let deep = format!("{{\"reservationId\":1,\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies: [&[u8]; 7] = [
        b"",
        b"{",
        b"reservationId=1",
        b"{\"reservationId\":1,\"doctor\":\"\xff\"}",
        b"{\"reservationId\":1,\"reservationId\":2}",
        b"{\"reservationId\":1}{}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = app.request(Method::POST, "/medicalRecords").body(body.to_vec()).send().await;
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&body[..body.len().min(40)]));
    }
    assert_eq!(app.count().await, 0);
}

#[tokio::test]
async fn routes_methods_media_and_sizes_that_are_wrong_get_their_own_answers() {
    let app = app(&[]).await;
    let send = |method: Method, path: &'static str| app.request_as("vet-1", "vet", method, path);
    assert_eq!(send(Method::GET, "/nowhere").send().await.status, 404);
    for path in ["/medicalRecords/999999", "/medicalRecords/abc", "/medicalRecords/99999999999999999999"] {
        assert_eq!(send(Method::GET, path).send().await.status, 404, "{path}");
        assert_eq!(send(Method::PATCH, path).json(&json!({"doctor": "D"})).send().await.status, 404, "{path}");
    }
    let wrong_method = send(Method::DELETE, "/medicalRecords").send().await;
    assert_eq!((wrong_method.status.as_u16(), wrong_method.header("allow")), (405, "GET,HEAD,POST"));
    let media = send(Method::POST, "/medicalRecords").header("content-type", "text/plain").body("{}").send().await;
    assert_eq!(media.status, 415);
    let large = json!({"reservationId": 1, "medicalOpinion": "x".repeat(64 * 1024)});
    assert_eq!(send(Method::POST, "/medicalRecords").json(&large).send().await.status, 413);
    let header = "x".repeat(17 * 1024);
    assert_eq!(send(Method::GET, "/medicalRecords").header("x-long", &header).send().await.status, 431);
    let untyped = app.request(Method::POST, "/medicalRecords").body(r#"{"reservationId":1}"#).send().await;
    assert_eq!(untyped.status, 201, "a missing content type is taken for JSON");
}
