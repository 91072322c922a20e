//! The original's recorded events, oddities included.

use chassis::events::Message;
use chassis::testing::foreign_message;
use serde_json::Value;

use crate::app::apps;

/// As they were recorded, each at its own place of its own partition.
fn recorded() -> Vec<Message> {
    include_str!("../../../../contracts/golden/original/events.jsonl")
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let mut message = foreign_message(record["offset"].as_i64().unwrap(), record["value"].as_str().unwrap());
            message.partition = i32::try_from(record["partition"].as_i64().unwrap()).unwrap();
            message
        })
        .collect()
}

#[tokio::test]
async fn the_originals_events_make_a_visit_of_each_of_its_reservations() {
    for app in apps(&[("clinic.capacity_per_day", "1")]).await {
        app.take_in(recorded()).await;
        assert_eq!(app.parked().await, Vec::<String>::new());
        // 2 to 15 and 17 were reserved, 4 and 5 cancelled; 4's date was taken away by a PUT before.
        assert_eq!(app.count().await, 15);
        assert_eq!(app.records("?state=CANCELED").await["page"]["totalElements"], 2);
        assert_eq!(app.record(4).await["reservationDate"], Value::Null);
        assert_eq!(app.record(11).await["reservationDate"], "true");
        assert_eq!(app.record(17).await["state"], "TREATED");

        let before = app.events().await;
        assert_eq!(before.iter().filter(|(kind, _)| kind == "Treated").count(), 15);
        assert_eq!(before.iter().filter(|(kind, _)| kind == "TreatmentCanceled").count(), 2);
        app.take_in(recorded()).await;
        assert_eq!(app.events().await, before, "a second delivery changes nothing");
    }
}

#[tokio::test]
async fn the_originals_events_may_come_in_any_order_of_their_partitions() {
    for app in apps(&[]).await {
        let mut messages = recorded();
        messages.sort_by_key(|message| (std::cmp::Reverse(message.partition), message.offset));
        app.take_in(messages).await;
        assert_eq!(app.parked().await, Vec::<String>::new());
        assert_eq!(app.records("?state=SCHEDULED").await["page"]["totalElements"], 0);
        for reservation_id in [4, 5] {
            assert!(app.record(reservation_id).await["state"] != "TREATED", "{reservation_id} was cancelled");
        }
    }
}
