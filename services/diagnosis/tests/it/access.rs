//! Who may do what, and whose records one sees.

use axum::http::Method;
use chassis::testing;
use serde_json::{Value, json};

use crate::app::{TestApp, app, reserved};

const ROLES: [&str; 5] = ["service", "desk", "vet", "admin", "customer"];

async fn status(app: &TestApp, role: &str, method: &Method, path: &str, body: &Value) -> u16 {
    app.request_as("customer-1", role, method.clone(), path).json(body).send().await.status.as_u16()
}

#[tokio::test]
async fn each_role_may_do_its_own_and_nothing_else() {
    let app = app(&[]).await;
    let id = app.hold(1, "2020-05-01").await;
    app.reservation_says(&reserved(1, "2020-05-01")).await;
    let one = format!("/medicalRecords/{id}");
    let routes = [
        (Method::POST, "/medicalRecords", json!({"reservationId": 1}), ["200", "403", "403", "403", "403"]),
        (Method::GET, "/medicalRecords", json!({}), ["403", "200", "200", "200", "200"]),
        (Method::GET, one.as_str(), json!({}), ["403", "200", "200", "200", "200"]),
        (Method::PATCH, one.as_str(), json!({"doctor": "Dr. Kim"}), ["403", "403", "200", "200", "403"]),
        (
            Method::PUT,
            "/visits/1",
            json!({"reservationDate": "2020-05-02", "changeNumber": 1}),
            ["200", "403", "403", "403", "403"],
        ),
    ];
    for (method, path, body, expected) in routes {
        for (role, expected) in ROLES.into_iter().zip(expected) {
            assert_eq!(status(&app, role, &method, path, &body).await.to_string(), expected, "{role} {method} {path}");
        }
        let nobody = testing::request(&app.service, method.clone(), path).json(&body).send().await;
        assert_eq!(nobody.status, 401, "{method} {path}");
        assert!(!nobody.header("www-authenticate").is_empty());
        assert_eq!(status(&app, "stranger", &method, path, &body).await, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn a_customer_sees_his_own_records_and_cannot_tell_that_there_are_others() {
    let app = app(&[]).await;
    let mut ids = Vec::new();
    for (reservation, customer) in [(1, "bori"), (2, "nabi"), (3, "bori")] {
        let body = json!({"reservationId": reservation, "customerId": customer});
        ids.push(app.ask(&body).await.json()["id"].as_i64().unwrap());
    }
    let answer = app.ask(&json!({"reservationId": 4})).await;
    ids.push(answer.json()["id"].as_i64().unwrap());

    let as_bori = |path: String| app.request_as("bori", "customer", Method::GET, &path).send();
    let own = as_bori("/medicalRecords".to_owned()).await.json();
    assert_eq!(own["page"]["totalElements"], 2);
    assert_eq!(as_bori(format!("/medicalRecords/{}", ids[0])).await.status, 200);
    let foreign = as_bori(format!("/medicalRecords/{}", ids[1])).await;
    let ownerless = as_bori(format!("/medicalRecords/{}", ids[3])).await;
    let absent = as_bori("/medicalRecords/999999".to_owned()).await;
    assert_eq!((foreign.status.as_u16(), foreign.json()), (404, absent.json()));
    assert_eq!((ownerless.status.as_u16(), ownerless.json()), (404, absent.json()));
    assert_eq!(as_bori("/medicalRecords?reservationId=2".to_owned()).await.json()["page"]["totalElements"], 0);
}
