//! Pay, void, refund.

use axum::http::Method;
use chassis::testing::TestAnswer;
use contracts::roles::{ADMIN, DESK, SERVICE, VET};
use serde_json::json;

use crate::harness::*;

const PAY: &str = "/financialManagements/1/pay";
const VOID: &str = "/financialManagements/1/void";
const REFUND: &str = "/financialManagements/1/refund";

async fn billed() -> Acceptance {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    acceptance
}

fn kind(answer: &TestAnswer) -> String {
    answer.json()["type"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_customer_pays_his_bill_and_the_event_is_the_contracts_example() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.bills_a_treatment().await;
        let body = json!({"method": "card", "amount": 10000});
        let answer = acceptance.as_customer("customer-1", Method::POST, PAY).json(&body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("etag"), "\"2\"");
        assert_eq!(answer.header("content-type"), "application/hal+json");
        let bill = answer.json();
        assert_eq!(
            (&bill["state"], &bill["method"], &bill["paidAt"]),
            (&json!("PAID"), &json!("card"), &json!("2026-11-21T09:00:00Z"))
        );
        assert_eq!(bill["_links"]["self"]["href"], "http://fleet.test/financialManagements/1");
        let accepted = &acceptance.published().await[1];
        assert_eq!(accepted.payload, json(FEE_ACCEPTED));
        assert_eq!((accepted.event_type.as_str(), accepted.sequence), ("TreatmentFeeAccepted", 2));
    }
}

#[tokio::test]
async fn paying_needs_no_body_and_no_media_type() {
    let acceptance = billed().await;
    let request = acceptance.as_role(DESK, Method::POST, PAY);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn paying_twice_is_refused_and_publishes_once() {
    let acceptance = billed().await;
    assert_eq!(acceptance.desk_posts(PAY).await.status, 200);
    let again = acceptance.desk_posts(PAY).await;
    assert_eq!((again.status.as_u16(), kind(&again).as_str()), (409, "urn:problem:already-paid"));
    assert_eq!(acceptance.published_types().await, ["TreatmentFeeBilled", "TreatmentFeeAccepted"]);
}

#[tokio::test]
async fn paying_twice_with_one_key_is_the_same_answer_and_one_payment() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.bills_a_treatment().await;
        let pay = || acceptance.as_role(DESK, Method::POST, PAY).header("idempotency-key", "till-7");
        let first = pay().send().await;
        let second = pay().send().await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
        assert_eq!((&first.text, first.header("etag")), (&second.text, second.header("etag")));
        assert_eq!(acceptance.published().await.len(), 2);

        let other_body = pay().json(&json!({"method": "cash"})).send().await;
        assert_eq!(other_body.status, 422);
        let other_work = acceptance.as_role(DESK, Method::POST, REFUND).header("idempotency-key", "till-7");
        assert_eq!(other_work.send().await.status, 422);
    }
}

#[tokio::test]
async fn many_at_once_with_one_key_get_one_answer() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.bills_a_treatment().await;
        let mut paying = tokio::task::JoinSet::new();
        for _ in 0..20 {
            paying.spawn(acceptance.as_role(DESK, Method::POST, PAY).header("idempotency-key", "till-7").send());
        }
        let answers = paying.join_all().await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == answers[0].text));
        assert_eq!(acceptance.published_types().await, ["TreatmentFeeBilled", "TreatmentFeeAccepted"]);
    }
}

#[tokio::test]
async fn many_at_once_without_a_key_pay_once() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.bills_a_treatment().await;
        let mut paying = tokio::task::JoinSet::new();
        for _ in 0..20 {
            paying.spawn(acceptance.as_role(DESK, Method::POST, PAY).send());
        }
        let answers = paying.join_all().await;
        let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(200), count(409)), (1, 19));
        assert_eq!(acceptance.published().await.len(), 2);
    }
}

#[tokio::test]
async fn a_refused_payment_leaves_its_key_free() {
    let acceptance = billed().await;
    let pay = || acceptance.as_role(DESK, Method::POST, PAY).header("idempotency-key", "till-7");
    let wrong = pay().json(&json!({"amount": 1})).send().await;
    assert_eq!((wrong.status.as_u16(), wrong.fields()), (422, vec!["amount".to_owned()]));
    assert_eq!(pay().json(&json!({"amount": 10000})).send().await.status, 200);
}

#[tokio::test]
async fn a_voided_or_refunded_bill_cannot_be_paid_voided_or_refunded() {
    for closes in [vec![VOID], vec![PAY, REFUND]] {
        let acceptance = billed().await;
        for path in closes {
            assert_eq!(acceptance.desk_posts(path).await.status, 200, "{path}");
        }
        let published = acceptance.published().await;
        for path in [PAY, VOID, REFUND] {
            let answer = acceptance.desk_posts(path).await;
            assert_eq!((answer.status.as_u16(), kind(&answer).as_str()), (409, "urn:problem:bill-closed"), "{path}");
        }
        assert_eq!(acceptance.published().await, published);
        assert_eq!(published.last().unwrap().payload, json(FEE_CANCELED));
    }
}

#[tokio::test]
async fn a_paid_bill_is_not_voided_and_an_unpaid_one_not_refunded() {
    let acceptance = billed().await;
    assert_eq!(acceptance.desk_posts(REFUND).await.status, 409);
    acceptance.desk_posts(PAY).await;
    assert_eq!(acceptance.desk_posts(VOID).await.status, 409);
}

#[tokio::test]
async fn a_stale_version_is_refused_and_the_right_one_accepted() {
    let acceptance = billed().await;
    let pay = |tag: &str| acceptance.as_role(DESK, Method::POST, PAY).header("if-match", tag);
    assert_eq!(pay("\"7\"").send().await.status, 412);
    assert_eq!(pay("W/\"1\"").send().await.status, 412);
    assert_eq!(acceptance.published().await.len(), 1);
    assert_eq!(pay("\"1\"").send().await.status, 200);
    let refund = acceptance.as_role(DESK, Method::POST, REFUND).header("if-match", "\"1\"");
    assert_eq!(refund.send().await.status, 412);
}

#[tokio::test]
async fn only_the_customer_himself_the_desk_and_the_admin_may_pay() {
    let acceptance = billed().await;
    for role in [VET, SERVICE] {
        assert_eq!(acceptance.as_role(role, Method::POST, PAY).send().await.status, 403, "{role}");
    }
    let stranger = acceptance.as_customer("customer-2", Method::POST, PAY).send().await;
    let unknown = acceptance.as_customer("customer-2", Method::POST, "/financialManagements/99/pay").send().await;
    assert_eq!((stranger.status.as_u16(), &stranger.text), (404, &unknown.text));
    assert_eq!(acceptance.as_nobody(Method::POST, PAY).send().await.status, 401);
    assert_eq!(acceptance.as_role(ADMIN, Method::POST, PAY).send().await.status, 200);
}

#[tokio::test]
async fn only_the_desk_and_the_admin_may_void_and_refund() {
    let acceptance = billed().await;
    for path in [VOID, REFUND] {
        for role in [VET, SERVICE] {
            assert_eq!(acceptance.as_role(role, Method::POST, path).send().await.status, 403, "{role} {path}");
        }
        assert_eq!(acceptance.as_customer("customer-1", Method::POST, path).send().await.status, 403);
        assert_eq!(acceptance.as_nobody(Method::POST, path).send().await.status, 401);
    }
    assert_eq!(acceptance.as_role(ADMIN, Method::POST, VOID).send().await.status, 200);
}
