//! Who sees which bills.

use axum::http::Method;
use contracts::roles::{ADMIN, DESK, SERVICE, VET};
use serde_json::json;

use crate::harness::*;

const BILLS: &str = "/financialManagements";

/// Bills of reservations 1 to 4: of customer-1, customer-2, customer-1, nobody known; the third is voided.
async fn four_bills() -> Acceptance {
    let acceptance = Acceptance::new().await;
    for (reservation, customer) in
        [(1, Some("customer-1")), (2, Some("customer-2")), (3, Some("customer-1")), (4, None)]
    {
        let treated = json!({"eventType": "Treated", "reservationId": reservation, "customerId": customer});
        acceptance.hears("/diagnosis", 1, &treated.to_string()).await;
    }
    acceptance.desk_posts("/financialManagements/3/void").await;
    acceptance
}

fn reservations(answer: &chassis::testing::TestAnswer) -> Vec<i64> {
    let items = answer.json()["_embedded"]["financialManagements"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["reservationId"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_bill_has_all_its_fields_and_its_version() {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    let answer = acceptance.desk_gets("/financialManagements/1/").await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"1\""));
    let mut bill = answer.json();
    bill.as_object_mut().unwrap().remove("_links");
    let expected = json!({
        "id": 1, "reservationId": 1, "treatment": "그냥 집에서 푹 쉬면 나을 것입니다.", "fee": 10000, "state": "BILLED",
        "method": null, "customerId": "customer-1", "billedAt": "2026-11-21T09:00:00Z", "paidAt": null,
        "canceledAt": null, "version": 1
    });
    assert_eq!(bill, expected);
}

#[tokio::test]
async fn the_desk_and_the_admin_see_all_bills_and_a_customer_his_own() {
    let acceptance = four_bills().await;
    for role in [DESK, ADMIN] {
        assert_eq!(reservations(&acceptance.as_role(role, Method::GET, BILLS).send().await), [1, 2, 3, 4]);
    }
    let own = acceptance.as_customer("customer-1", Method::GET, BILLS).send().await;
    assert_eq!(reservations(&own), [1, 3]);
    assert_eq!(own.json()["page"]["totalElements"], 2);
    for (id, status) in [(1, 200), (2, 404), (4, 404)] {
        let answer = acceptance.as_customer("customer-1", Method::GET, &format!("{BILLS}/{id}")).send().await;
        assert_eq!(answer.status, status, "{id}");
    }
}

#[tokio::test]
async fn a_vet_and_a_service_see_none_and_without_a_token_there_is_no_entry() {
    let acceptance = four_bills().await;
    for path in [BILLS, "/financialManagements/1"] {
        for role in [VET, SERVICE] {
            assert_eq!(acceptance.as_role(role, Method::GET, path).send().await.status, 403, "{role} {path}");
        }
        let nobody = acceptance.as_nobody(Method::GET, path).send().await;
        assert_eq!(nobody.status, 401);
        assert!(nobody.header("www-authenticate").starts_with("Bearer"));
    }
}

#[tokio::test]
async fn bills_are_filtered_by_reservation_and_state_and_paged() {
    let acceptance = four_bills().await;
    for (query, expected) in [
        ("?reservationId=2", vec![2]),
        ("?state=VOIDED", vec![3]),
        ("?state=BILLED", vec![1, 2, 4]),
        ("?state=BILLED&reservationId=3", vec![]),
        ("?size=3", vec![1, 2, 3]),
        ("?size=3&page=1", vec![4]),
    ] {
        assert_eq!(reservations(&acceptance.desk_gets(&format!("{BILLS}{query}")).await), expected, "{query}");
    }
    let others = acceptance.as_customer("customer-1", Method::GET, "/financialManagements?reservationId=2");
    assert_eq!(reservations(&others.send().await), Vec::<i64>::new());
}
