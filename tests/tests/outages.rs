//! Parts of the fleet are away: what can go on goes on, and what was missed is made up for, once.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeMap;

use journeys::{Fleet, eventually, jackson};
use reqwest::Method;

#[tokio::test]
async fn without_diagnosis_nothing_is_reserved_and_nothing_left_behind() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    fleet.run(&["stop", "diagnosis"]);
    let refused = customer.send(Method::POST, "/reservations", Some(&jackson())).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(customer.all("reservations", "").await.is_empty());

    fleet.run(&["start", "diagnosis"]);
    let id = eventually("reservations are taken again", async || {
        let answer = customer.send(Method::POST, "/reservations", Some(&jackson())).await;
        (answer.status == 201).then(|| answer.body["id"].as_i64().unwrap())
    })
    .await;
    customer.until_label(id, "수납 대기").await;
}

#[tokio::test]
async fn reservations_go_on_without_the_others_who_catch_up_exactly_once() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    fleet.run(&["stop", "acceptance", "notice", "lookup"]);
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(customer.reserve().await);
    }
    assert_eq!(customer.get("/reservationStats").await.status, 503);
    fleet.run(&["start", "acceptance", "notice", "lookup"]);
    for id in &ids {
        customer.until_label(*id, "수납 대기").await;
    }
    let expected: BTreeMap<i64, usize> = ids.iter().map(|id| (*id, 1)).collect();
    assert_eq!(count_by_reservation(&customer.all("financialManagements", "").await), expected, "one bill each");
    let expected: BTreeMap<i64, usize> = ids.iter().map(|id| (*id, 3)).collect();
    eventually("reserved, treated and billed are told once each", async || {
        (count_by_reservation(&customer.all("notices", "").await) == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn reservations_go_on_without_kafka() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    let before = customer.reserve().await;
    fleet.run(&["stop", "kafka"]);
    let meanwhile = customer.reserve().await;
    // Longer than its event waits for the broker at one go.
    eventually("its event is given up for now", async || {
        fleet.log_of("reservation").contains("events wait in the outbox").then_some(())
    })
    .await;
    fleet.run(&["start", "kafka"]);
    for id in [before, meanwhile] {
        customer.until_label(id, "수납 대기").await;
        assert_eq!(customer.bills_of(id).await.len(), 1);
    }
}

#[tokio::test]
async fn cancelling_needs_nobody_else() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    let id = customer.reserve().await;
    fleet.run(&["stop", "diagnosis", "acceptance", "notice", "lookup", "kafka"]);
    assert_eq!(customer.cancel(id).await.status, 204);
    fleet.run(&["start", "kafka", "diagnosis", "acceptance", "notice", "lookup"]);
    eventually("diagnosis has heard of it", async || {
        let records =
            customer.try_send(Method::GET, &format!("/medicalRecords?reservationId={id}"), None, None).await?;
        (records.body["_embedded"]["medicalRecords"][0]["state"] == "CANCELED").then_some(())
    })
    .await;
}

fn count_by_reservation(items: &[serde_json::Value]) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item["reservationId"].as_i64().unwrap()).or_default() += 1;
    }
    counts
}
