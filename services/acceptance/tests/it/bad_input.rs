//! Each bad request gets its named answer and leaves nothing behind.

use axum::http::Method;
use contracts::roles::DESK;
use serde_json::json;

use crate::harness::*;

const PAY: &str = "/financialManagements/1/pay";

async fn pay_with(acceptance: &Acceptance, body: &str) -> chassis::testing::TestAnswer {
    let request = acceptance.as_role(DESK, Method::POST, PAY).header("content-type", "application/json");
    request.body(body.to_owned()).send().await
}

#[tokio::test]
async fn a_payment_that_makes_no_sense_names_its_field_and_pays_nothing() {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    let long = json!({"method": "x".repeat(51)}).to_string();
    for (body, field) in [
        (r#"{"amount": 9999}"#, "amount"),
        (r#"{"amount": -10000}"#, "amount"),
        (r#"{"amount": "10000"}"#, "amount"),
        (r#"{"amount": 10000.5}"#, "amount"),
        (r#"{"method": " "}"#, "method"),
        (r#"{"method": 1}"#, "method"),
        (r#"{"method": "ca\u0000rd"}"#, "method"),
        (r#"{"method": "ca\nrd"}"#, "method"),
        (long.as_str(), "method"),
        (r#"["card"]"#, "(body)"),
    ] {
        let answer = pay_with(&acceptance, body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.fields(), [field], "{body}");
    }
    let bomb = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for body in ["{", "method=card", r#"{"method":"a","method":"b"}"#, bomb.as_str(), " "] {
        assert_eq!(pay_with(&acceptance, body).await.status, 400, "{body:.40}");
    }
    assert_eq!(acceptance.desk_gets("/financialManagements/1").await.json()["state"], "BILLED");
    assert_eq!(acceptance.published().await.len(), 1);
}

#[tokio::test]
async fn a_refund_or_a_void_with_a_body_that_makes_no_sense_is_refused_though_none_is_needed() {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    assert_eq!(acceptance.desk_posts(PAY).await.status, 200);
    acceptance.hears("/diagnosis", 1, r#"{"eventType": "Treated", "id": 2, "reservationId": 2}"#).await;
    let bomb = "[".repeat(10_000);
    for (path, state) in [("/financialManagements/1/refund", "PAID"), ("/financialManagements/2/void", "BILLED")] {
        for (body, status) in [("{", 400), ("a=b", 400), (bomb.as_str(), 400), ("5", 422), ("[]", 422)] {
            let request = acceptance.as_role(DESK, Method::POST, path).header("content-type", "application/json");
            assert_eq!(request.body(body.to_owned()).send().await.status, status, "{path} {body:.40}");
        }
        let text = acceptance.as_role(DESK, Method::POST, path).header("content-type", "text/plain").body("now");
        assert_eq!(text.send().await.status, 415, "{path}");
        let bill = path.rsplit_once('/').unwrap().0;
        assert_eq!(acceptance.desk_gets(bill).await.json()["state"], state, "{path}");
        let object = acceptance.as_role(DESK, Method::POST, path).json(&json!({"reason": "moved away"}));
        assert_eq!(object.send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_rest_of_a_wrong_request_has_its_status_as_well() {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    let form = acceptance.as_role(DESK, Method::POST, PAY).header("content-type", "text/plain").body("card");
    assert_eq!(form.send().await.status, 415);
    let invalid = acceptance.as_role(DESK, Method::POST, PAY).body(&b"{\"method\":\"\xff\"}"[..]);
    assert_eq!(invalid.send().await.status, 400);
    let large = acceptance.as_role(DESK, Method::POST, PAY).body(vec![b' '; 64 * 1024 + 1]);
    assert_eq!(large.send().await.status, 413);
    let headers = acceptance.as_role(DESK, Method::POST, PAY).header("x-much", &"x".repeat(16 * 1024));
    assert_eq!(headers.send().await.status, 431);
    let key = acceptance.as_role(DESK, Method::POST, PAY).header("idempotency-key", &"k".repeat(256));
    assert_eq!(key.send().await.status, 400);
    for id in ["abc", "99", "-1", "1.5", "99999999999999999999"] {
        assert_eq!(acceptance.desk_gets(&format!("/financialManagements/{id}")).await.status, 404, "{id}");
        assert_eq!(acceptance.desk_posts(&format!("/financialManagements/{id}/pay")).await.status, 404, "{id}");
    }
    for query in ["state=OPEN", "state=NEVER_BILLED", "reservationId=x", "page=-1", "size=0", "size=1001"] {
        let answer = acceptance.desk_gets(&format!("/financialManagements?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(acceptance.desk_gets("/bills").await.status, 404);
    assert_eq!(acceptance.published().await.len(), 1);
}

#[tokio::test]
async fn nobody_makes_changes_or_removes_a_bill_by_hand() {
    let acceptance = Acceptance::new().await;
    for (method, path, allowed) in [
        (Method::POST, "/financialManagements", "GET"),
        (Method::DELETE, "/financialManagements/1", "GET"),
        (Method::PATCH, "/financialManagements/1", "GET"),
        (Method::GET, PAY, "POST"),
    ] {
        let answer = acceptance.as_role(DESK, method.clone(), path).json(&json!({"fee": 1})).send().await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").contains(allowed), "{method} {path}: {:?}", answer.headers);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}
