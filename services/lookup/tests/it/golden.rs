//! The examples that producers emit, and the recorded events of the original.

use chassis::events::{Message, dead_letter};
use chassis::testing::{databases, foreign_message};
use lookup::domain::State;
use lookup::store;
use serde_json::Value;

use crate::harness::{ACCEPTANCE, DIAGNOSIS, RESERVATION, sent, take_in};

const ORIGINAL: &str = include_str!("../../../../contracts/golden/original/events.jsonl");

/// As they were recorded: partition and offset, no key, no headers of ours.
pub fn original() -> Vec<Message> {
    ORIGINAL
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let mut message = foreign_message(record["offset"].as_i64().unwrap(), record["value"].as_str().unwrap());
            message.partition = record["partition"].as_i64().unwrap() as i32;
            message
        })
        .collect()
}

#[tokio::test]
async fn every_example_of_our_services_is_taken_in() {
    let example = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    macro_rules! golden {
        ($name:literal) => {
            example(include_str!(concat!("../../../../contracts/golden/", $name, ".json")))
        };
    }
    let messages = [
        sent(RESERVATION, 1, 1, golden!("reservation_reserved")),
        sent(DIAGNOSIS, 1, 1, golden!("treated")),
        sent(ACCEPTANCE, 1, 1, golden!("treatment_fee_billed")),
        sent(ACCEPTANCE, 1, 2, golden!("treatment_fee_accepted")),
        sent(RESERVATION, 1, 2, golden!("reservation_change_abandoned")),
        sent(RESERVATION, 1, 3, golden!("reservation_changed")),
        sent(RESERVATION, 1, 4, golden!("reservation_canceled")),
        sent(DIAGNOSIS, 1, 2, golden!("treatment_canceled")),
        sent(ACCEPTANCE, 1, 3, golden!("treatment_fee_canceled")),
    ];
    for db in databases(store::MIGRATIONS).await {
        take_in(&db, &messages).await;
        let stats = store::find(&db, 1).await.unwrap().unwrap();
        assert_eq!(stats.version, 9);
        assert_eq!(stats.state, Some(State::Canceled));
        assert_eq!(stats.payment, Some(State::FeeCanceled));
        assert_eq!(stats.customer_id.as_deref(), Some("customer-1"));
        assert_eq!(stats.reservator_name.as_deref(), Some("Jackson"));
        assert_eq!((stats.doctor.as_deref(), stats.fee), (Some("Brad pitt"), Some(10000)));
        let history = store::histories(&db, &[1]).await.unwrap();
        let types: Vec<_> = history.iter().map(|entry| entry.event_type.as_str()).collect();
        assert_eq!(types[..3], ["ReservationReserved", "Treated", "TreatmentFeeBilled"]);
        assert_eq!(history.len(), 9);
        assert!(dead_letter::list(&db, None, 0, 1000).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_recorded_events_of_the_original_make_one_row_a_reservation() {
    for db in databases(store::MIGRATIONS).await {
        take_in(&db, &original()).await;
        take_in(&db, &original()).await;
        assert!(dead_letter::list(&db, None, 0, 1000).await.unwrap().is_empty());
        assert_eq!(store::count_all(&db).await.unwrap(), 17);

        let paid = store::find(&db, 2).await.unwrap().unwrap();
        assert_eq!(paid.state, Some(State::Paid));
        assert_eq!((paid.reservator_name.as_deref(), paid.fee), (Some("Jackson"), Some(10000)));
        let changed_then_canceled = store::find(&db, 4).await.unwrap().unwrap();
        assert_eq!(changed_then_canceled.state, Some(State::Canceled));
        assert_eq!(changed_then_canceled.reservator_name.as_deref(), Some("Put"));
        let without_a_reservation = store::find(&db, 1).await.unwrap().unwrap();
        assert_eq!((without_a_reservation.state, without_a_reservation.reservation), (Some(State::Paid), None));
    }
}
