//! The consumer and the tables, on both databases.

use chassis::Db;
use chassis::events::{Message, dead_letter};
use chassis::testing::{databases, message};
use lookup::domain::{STATES, State, Stats};
use lookup::store;
use serde_json::json;

use crate::harness::{
    ACCEPTANCE, DIAGNOSIS, RESERVATION, fee_event, interleavings, reservation_event, sent, take_in, treatment_event,
};

fn story(id: i64) -> [Vec<Message>; 3] {
    let reservation = |sequence, kind| sent(RESERVATION, id, sequence, reservation_event(kind, id, "2020-05-01", "c"));
    [
        vec![reservation(1, "ReservationReserved"), reservation(2, "ReservationChanged")],
        vec![sent(DIAGNOSIS, id, 1, treatment_event("Treated", id))],
        vec![
            sent(ACCEPTANCE, id, 1, fee_event("TreatmentFeeBilled", id, 10000)),
            sent(ACCEPTANCE, id, 2, fee_event("TreatmentFeeAccepted", id, 10000)),
        ],
    ]
}

async fn row(db: &Db, id: i64) -> Stats {
    store::find(db, id).await.unwrap().unwrap()
}

/// The kept totals must be what counting finds.
async fn totals_are_right(db: &Db) {
    let mut sum = 0;
    for state in STATES {
        let (counted,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM reservation_stats WHERE state = $1")
            .bind(state.code())
            .fetch_one(db.reader())
            .await
            .unwrap();
        assert_eq!(store::count_of(db, Some(state)).await.unwrap(), counted, "{state:?}");
        sum += counted;
    }
    assert_eq!(store::count_all(db).await.unwrap(), sum);
}

#[tokio::test]
async fn every_interleaving_of_the_publishers_gives_the_same_row() {
    for db in databases(store::MIGRATIONS).await {
        let orders = interleavings(&[vec!["r"; 2], vec!["d"; 1], vec!["a"; 2]]);
        assert_eq!(orders.len(), 30);
        for (order, id) in orders.iter().zip(1..) {
            let mut streams = story(id);
            let next = |publisher: &&str| match *publisher {
                "r" => streams[0].remove(0),
                "d" => streams[1].remove(0),
                _ => streams[2].remove(0),
            };
            let messages: Vec<Message> = order.iter().map(next).collect();
            take_in(&db, &messages).await;
        }
        let first = row(&db, 1).await;
        assert_eq!((first.state, first.version), (Some(State::Paid), 5));
        for id in 2..=30 {
            assert_eq!(Stats { reservation_id: 1, ..row(&db, id).await }, first, "{:?}", orders[id as usize - 1]);
        }
        totals_are_right(&db).await;
    }
}

#[tokio::test]
async fn a_replayed_prefix_changes_nothing() {
    for db in databases(store::MIGRATIONS).await {
        let messages = story(1).concat();
        take_in(&db, &messages).await;
        let (before, history) = (row(&db, 1).await, store::histories(&db, &[1]).await.unwrap());
        for length in 0..=messages.len() {
            take_in(&db, &messages[..length]).await;
            assert_eq!(row(&db, 1).await, before, "after {length}");
        }
        assert_eq!(store::histories(&db, &[1]).await.unwrap(), history);
        totals_are_right(&db).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_parked_and_stops_no_other_reservation() {
    for db in databases(store::MIGRATIONS).await {
        let mut garbage = message(RESERVATION, "1", 1, &json!({}));
        garbage.payload = b"\xff\xfe".to_vec();
        let nameless = message(DIAGNOSIS, "2", 1, &json!({"eventType": "Treated", "reservationId": null}));
        let good = story(3)[0][0].clone();
        take_in(&db, &[garbage, nameless, good]).await;

        let parked = dead_letter::list(&db, None, 0, 1000).await.unwrap();
        let keys: Vec<_> = parked.iter().map(|letter| letter.key.as_str()).collect();
        assert_eq!(keys, ["1", "2"]);
        assert!(parked[1].reason.contains("names no reservation"), "{}", parked[1].reason);
        assert_eq!(row(&db, 3).await.state, Some(State::Reserved));
        totals_are_right(&db).await;
    }
}

#[tokio::test]
async fn an_event_of_a_later_version_is_passed_over() {
    for db in databases(store::MIGRATIONS).await {
        take_in(&db, &[message("/adoption", "1", 1, &json!({"eventType": "PetAdopted", "id": 1}))]).await;
        assert!(store::find(&db, 1).await.unwrap().is_none());
        assert!(dead_letter::list(&db, None, 0, 1000).await.unwrap().is_empty());
    }
}
