//! What becomes of the events of others.

use chassis::events::dead_letter;
use chassis::testing::{self, foreign_message};
use serde_json::{Value, json};

use crate::harness::*;

const ORIGINAL: &str = include_str!("../../../../contracts/golden/original/events.jsonl");

#[tokio::test]
async fn a_treatment_is_billed_once_and_the_event_is_the_contracts_example() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.bills_a_treatment().await;
        let published = acceptance.published().await;
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].payload, json(FEE_BILLED));
        assert_eq!((published[0].key.as_str(), published[0].sequence), ("1", 1));

        // The same again; the same from another publisher; and the same without its headers.
        acceptance.hears("/diagnosis", 1, TREATED).await;
        acceptance.hears("/another-diagnosis", 1, TREATED).await;
        acceptance.takes_in(foreign_message(7, TREATED)).await;
        assert_eq!(acceptance.published().await.len(), 1);
        assert_eq!(acceptance.desk_gets("/financialManagements").await.json()["page"]["totalElements"], 1);
    }
}

#[tokio::test]
async fn the_same_treatment_in_one_batch_twice_is_billed_once() {
    let acceptance = Acceptance::new().await;
    let batch = [foreign_message(1, TREATED), foreign_message(2, TREATED)];
    let handler = acceptance::events::handler(&acceptance.app);
    chassis::events::consumer::take_in(&acceptance.app.db, &handler, &batch.into()).await.unwrap();
    assert_eq!(acceptance.published_types().await, ["TreatmentFeeBilled"]);
}

#[tokio::test]
async fn the_fee_comes_from_the_table_where_it_names_the_treatment() {
    let db = testing::sqlite(acceptance::store::MIGRATIONS).await;
    let table = r#"{ "그냥 집에서 푹 쉬면 나을 것입니다." = 25000 }"#;
    let acceptance = Acceptance::with(db, &[("fees.default", "7000"), ("fees.by_treatment", table)]);
    acceptance.bills_a_treatment().await;
    acceptance.hears("/diagnosis", 1, r#"{"eventType":"Treated","reservationId":2,"treatment":"주사"}"#).await;
    let fees: Vec<Value> = acceptance.published().await.iter().map(|event| event.payload["fee"].clone()).collect();
    assert_eq!(fees, [25000, 7000]);
}

#[tokio::test]
async fn a_cancellation_voids_an_unpaid_bill_once_whoever_says_it() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.bills_a_treatment().await;
        acceptance.hears("/reservation", 2, RESERVATION_CANCELED).await;
        acceptance.hears("/diagnosis", 2, TREATMENT_CANCELED).await;
        acceptance.hears("/diagnosis", 2, TREATMENT_CANCELED).await;

        assert_eq!(acceptance.published_types().await, ["TreatmentFeeBilled", "TreatmentFeeCanceled"]);
        let canceled = &acceptance.published().await[1];
        assert_eq!(canceled.payload, json(FEE_CANCELED));
        assert_eq!(canceled.sequence, 2);
        let bill = acceptance.desk_gets("/financialManagements/1").await.json();
        assert_eq!((&bill["state"], &bill["canceledAt"]), (&json!("VOIDED"), &json!("2026-11-21T09:00:00Z")));
    }
}

#[tokio::test]
async fn a_cancellation_refunds_a_paid_bill() {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    acceptance.desk_posts("/financialManagements/1/pay").await;
    acceptance.hears("/reservation", 2, RESERVATION_CANCELED).await;
    assert_eq!(acceptance.desk_gets("/financialManagements/1").await.json()["state"], "REFUNDED");
    let published = acceptance.published().await;
    assert_eq!(published.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(published[2].payload, json(FEE_CANCELED));
}

#[tokio::test]
async fn a_treatment_that_is_heard_of_after_its_cancellation_is_not_billed() {
    for acceptance in Acceptance::on_each_database().await {
        acceptance.hears("/reservation", 2, RESERVATION_CANCELED).await;
        acceptance.bills_a_treatment().await;
        acceptance.hears("/diagnosis", 2, TREATMENT_CANCELED).await;
        assert_eq!(acceptance.published().await, []);
        assert_eq!(acceptance.desk_gets("/financialManagements").await.json()["page"]["totalElements"], 0);
        assert_eq!(acceptance.desk_gets("/financialManagements/1").await.status, 404);
    }
}

#[tokio::test]
async fn a_cancelled_bill_is_not_billed_again() {
    let acceptance = Acceptance::new().await;
    acceptance.bills_a_treatment().await;
    acceptance.hears("/diagnosis", 2, TREATMENT_CANCELED).await;
    acceptance.hears("/diagnosis", 3, TREATED).await;
    assert_eq!(acceptance.published_types().await, ["TreatmentFeeBilled", "TreatmentFeeCanceled"]);
}

#[tokio::test]
async fn every_example_event_is_taken_in_and_only_treatments_and_cancellations_matter() {
    let acceptance = Acceptance::new().await;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/golden")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() || path.ends_with("treated.json") || path.to_str().unwrap().contains("canceled") {
            continue;
        }
        acceptance.hears(path.to_str().unwrap(), 1, &std::fs::read_to_string(&path).unwrap()).await;
    }
    assert_eq!(acceptance.published().await, []);
    acceptance.hears("/new-service", 1, r#"{"eventType":"PetAdopted","id":1}"#).await;
    acceptance.bills_a_treatment().await;
    assert_eq!(acceptance.published_types().await, ["TreatmentFeeBilled"]);
    assert_eq!(dead_letter::list(&acceptance.app.db, None, 0, 1000).await.unwrap(), []);
}

#[tokio::test]
async fn the_originals_recorded_events_are_billed_and_cancelled_whatever_their_order() {
    let acceptance = Acceptance::new().await;
    for line in ORIGINAL.lines() {
        let record = json(line);
        let mut message = foreign_message(record["offset"].as_i64().unwrap(), record["value"].as_str().unwrap());
        message.partition = i32::try_from(record["partition"].as_i64().unwrap()).unwrap();
        acceptance.takes_in(message.clone()).await;
        acceptance.takes_in(message).await;
    }
    let values = || ORIGINAL.lines().map(|line| json(json(line)["value"].as_str().unwrap()));
    let mut treated: Vec<i64> = values()
        .filter(|event| event["eventType"] == "Treated")
        .map(|event| event["reservationId"].as_i64().unwrap())
        .collect();
    treated.sort_unstable();
    treated.dedup();
    let canceled: Vec<i64> = values()
        .filter(|event| event["eventType"] == "ReservationCanceled")
        .map(|event| event["id"].as_i64().unwrap())
        .filter(|id| treated.contains(id))
        .collect();
    assert!(treated.len() > 10 && !canceled.is_empty());

    let keys = |event_type: &str, published: &[testing::Published]| {
        let of_type = published.iter().filter(|event| event.event_type == event_type);
        let mut keys: Vec<i64> = of_type.map(|event| event.key.parse().unwrap()).collect();
        keys.sort_unstable();
        keys
    };
    let published = acceptance.published().await;
    assert_eq!(keys("TreatmentFeeBilled", &published), treated);
    assert_eq!(keys("TreatmentFeeCanceled", &published), canceled);
    assert_eq!(dead_letter::list(&acceptance.app.db, None, 0, 1000).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_no_event_is_parked_without_saying_what_was_in_it() {
    let acceptance = Acceptance::new().await;
    acceptance.takes_in(foreign_message(1, "{")).await;
    acceptance.takes_in(foreign_message(2, r#"{"eventType":"Treated","reservationId":"010-1234-5678"}"#)).await;
    acceptance.takes_in(foreign_message(3, r#"{"eventType":"Treated","id":5}"#)).await;
    let letters = dead_letter::list(&acceptance.app.db, None, 0, 1000).await.unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| !letter.reason.contains("1234")), "{letters:?}");
    assert!(letters[2].reason.contains("Treated without its reservation"), "{letters:?}");
}
