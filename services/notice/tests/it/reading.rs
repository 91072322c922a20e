//! Who sees which notices, and how much of them.

use axum::http::Method;
use chassis::testing::TestAnswer;
use contracts::roles::{ADMIN, DESK, SERVICE, VET};
use serde_json::json;

use crate::harness::*;

/// Notices 1 and 2 of customer-1, 3 of customer-2, 4 of nobody known.
async fn four_notices() -> Notices {
    let notices = Notices::new().await;
    notices.hears("/reservation", 1, RESERVED).await;
    notices.hears("/diagnosis", 1, TREATED).await;
    let other = json!({"eventType": "ReservationReserved", "id": 2, "reservatorName": "김철수",
        "reservationDate": "2020-05-01", "phoneNumber": "01098765432", "customerId": "customer-2"});
    notices.hears("/reservation", 1, &other.to_string()).await;
    notices.hears("/diagnosis", 1, r#"{"eventType":"Treated","reservationId":3}"#).await;
    notices
}

fn ids(answer: &TestAnswer) -> Vec<i64> {
    items(answer).iter().map(|notice| notice["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_notice_has_all_its_fields() {
    let notices = four_notices().await;
    let answer = notices.desk_gets("/notices/1/").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/hal+json"));
    let mut notice = answer.json();
    let links = notice.as_object_mut().unwrap().remove("_links").unwrap();
    assert_eq!(links["self"]["href"], "http://fleet.test/notices/1");
    let expected = json!({
        "id": 1, "reservationId": 1, "kind": "ReservationReserved", "to": "010-1234-5678", "state": "PENDING",
        "text": "Jackson님, 2020-04-30 예약이 완료되었습니다.", "attempts": 0, "failure": null,
        "createdAt": "2026-11-21T09:00:00Z", "sentAt": null
    });
    assert_eq!(notice, expected);
}

#[tokio::test]
async fn a_customer_sees_his_own_notices_in_full_and_no_others() {
    let notices = four_notices().await;
    let own = notices.as_customer("customer-1", "/notices").send().await;
    assert_eq!(ids(&own), [1, 2]);
    assert_eq!(own.json()["page"]["totalElements"], 2);
    assert!(items(&own).iter().all(|notice| notice["to"] == "010-1234-5678"));
    assert!(items(&own).iter().all(|notice| notice["text"].as_str().unwrap().starts_with("Jackson님")));
    for (id, status) in [(1, 200), (2, 200), (3, 404), (4, 404), (99, 404)] {
        let answer = notices.as_customer("customer-1", &format!("/notices/{id}")).send().await;
        assert_eq!(answer.status, status, "{id}");
    }
    let others = notices.as_customer("customer-1", "/notices?reservationId=2").send().await;
    assert_eq!(ids(&others), Vec::<i64>::new());
}

#[tokio::test]
async fn a_vet_sees_all_notices_but_neither_names_nor_numbers() {
    let notices = four_notices().await;
    let all = notices.as_role(VET, Method::GET, "/notices").send().await;
    assert_eq!(ids(&all), [1, 2, 3, 4]);
    let one = notices.as_role(VET, Method::GET, "/notices/3").send().await;
    assert_eq!(one.json()["to"], "010-****-5432");
    assert_eq!(one.json()["text"], "김**님, 2020-05-01 예약이 완료되었습니다.");
    for secret in ["Jackson", "김철수", "1234-5678", "98765432"] {
        assert!(!all.text.contains(secret) && !one.text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_desk_and_the_admin_see_everything() {
    let notices = four_notices().await;
    for role in [DESK, ADMIN] {
        let all = notices.as_role(role, Method::GET, "/notices").send().await;
        let to: Vec<_> = items(&all).iter().map(|notice| notice["to"].clone()).collect();
        assert_eq!(to, [json!("010-1234-5678"), json!("010-1234-5678"), json!("01098765432"), json!(null)], "{role}");
    }
}

#[tokio::test]
async fn a_service_sees_none_and_without_a_token_there_is_no_entry() {
    let notices = four_notices().await;
    for path in ["/notices", "/notices/1"] {
        assert_eq!(notices.as_role(SERVICE, Method::GET, path).send().await.status, 403);
        let nobody = notices.as_nobody(path).send().await;
        assert_eq!(nobody.status, 401);
        assert!(nobody.header("www-authenticate").starts_with("Bearer"));
    }
}

#[tokio::test]
async fn notices_are_filtered_by_reservation_and_state_and_paged() {
    let notices = four_notices().await;
    for (query, expected) in [
        ("?reservationId=1", vec![1, 2]),
        ("?state=WAITING", vec![4]),
        ("?state=PENDING&reservationId=2", vec![3]),
        ("?state=FAILED", vec![]),
        ("?size=3&page=1", vec![4]),
    ] {
        assert_eq!(ids(&notices.desk_gets(&format!("/notices{query}")).await), expected, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_request_has_its_status() {
    let notices = four_notices().await;
    for id in ["abc", "99", "-1", "1.5", "99999999999999999999"] {
        assert_eq!(notices.desk_gets(&format!("/notices/{id}")).await.status, 404, "{id}");
    }
    for query in ["state=OPEN", "reservationId=x", "page=-1", "size=0"] {
        let answer = notices.desk_gets(&format!("/notices?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (400, "application/problem+json"),
            "{query}"
        );
    }
    for (method, path) in [(Method::POST, "/notices"), (Method::DELETE, "/notices/1"), (Method::PATCH, "/notices/1")] {
        let answer = notices.as_role(ADMIN, method, path).json(&json!({})).send().await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
    }
    let headers = notices.as_role(DESK, Method::GET, "/notices").header("x-much", &"x".repeat(16 * 1024));
    assert_eq!(headers.send().await.status, 431);
}
