//! What waits to be published.

use chassis::db::Dialect;
use chassis::events::outbox::{self, Holding, NewEvent};
use chassis::{Db, DbError, testing};
use jiff::Timestamp;
use serde_json::json;

async fn publish(db: &Db, key: &str, sequence: i64, at: i64) {
    let event = NewEvent { event_type: "Tested", key: key.to_owned(), sequence, payload: "{}".to_owned() };
    let written: Result<(), DbError> =
        db.write(move |tx| Box::pin(async move { outbox::append_in_tx(tx, &event, at).await })).await;
    written.unwrap();
}

#[tokio::test]
async fn the_status_tells_how_much_waits_and_since_when() {
    for db in testing::databases(&[]).await {
        let beside = testing::attached(&db).await;
        let empty = outbox::status(&beside, 9_000).await.unwrap();
        assert_eq!((empty.waiting, empty.keys, empty.oldest_age_ms, empty.lease), (0, 0, None, None));
        assert_eq!(empty.waiting_longest, []);

        publish(&db, "a", 1, 5_000).await;
        publish(&db, "a", 2, 6_000).await;
        publish(&db, "b", 1, 7_000).await;
        let status = outbox::status(&beside, 9_000).await.unwrap();
        let expected = json!({
            "waiting": 3, "keys": 2, "oldestAgeMs": 4000,
            "waitingLongest": [
                {"key": "a", "waiting": 2, "oldestAgeMs": 4000},
                {"key": "b", "waiting": 1, "oldestAgeMs": 2000},
            ],
            "lease": null
        });
        assert_eq!(serde_json::to_value(&status).unwrap(), expected);
    }
}

#[tokio::test]
async fn the_status_names_the_keys_that_have_waited_longest_and_counts_the_others() {
    for db in testing::databases(&[]).await {
        for at in 0..12 {
            publish(&db, &format!("{}", 100 - at), 1, at).await;
        }
        publish(&db, "100", 2, 50).await;
        let status = outbox::status(&db, 1_000).await.unwrap();
        assert_eq!((status.waiting, status.keys), (13, 12));
        let keys: Vec<&str> = status.waiting_longest.iter().map(|waiting| waiting.key.as_str()).collect();
        assert_eq!(keys, ["100", "99", "98", "97", "96", "95", "94", "93", "92", "91"]);
        assert_eq!((status.waiting_longest[0].waiting, status.waiting_longest[9].oldest_age_ms), (2, 991));
    }
}

#[tokio::test]
async fn where_there_are_replicas_the_status_tells_which_of_them_has_the_lease_and_until_when() {
    for db in testing::databases(&[]).await.into_iter().filter(|db| db.dialect() == Dialect::Postgres) {
        let lease = async || outbox::status(&db, 0).await.unwrap().lease.unwrap();
        sqlx::query("UPDATE relay_lease SET holder = 'replica-2', epoch = 7").execute(db.reader()).await.unwrap();
        let Holding { holder, epoch, expires_at, ends_in_ms } = lease().await;
        assert_eq!((holder.as_str(), epoch, expires_at), ("replica-2", 7, 0));
        assert!(ends_in_ms < 0, "{ends_in_ms}");

        let until = Timestamp::now().as_millisecond() + 60_000;
        sqlx::query("UPDATE relay_lease SET expires_at = $1").bind(until).execute(db.reader()).await.unwrap();
        let Holding { expires_at, ends_in_ms, .. } = lease().await;
        assert_eq!(expires_at, until);
        assert!((50_000..=60_000).contains(&ends_in_ms), "{ends_in_ms}");
    }
}
