//! What waits to be published.

use chassis::db::Dialect;
use chassis::events::outbox::{self, Holding, NewEvent};
use chassis::{Db, DbError, testing};

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

        publish(&db, "a", 1, 5_000).await;
        publish(&db, "a", 2, 6_000).await;
        publish(&db, "b", 1, 7_000).await;
        let status = outbox::status(&beside, 9_000).await.unwrap();
        assert_eq!((status.waiting, status.keys, status.oldest_age_ms), (3, 2, Some(4_000)));
    }
}

#[tokio::test]
async fn where_there_are_replicas_the_status_tells_which_of_them_publishes() {
    for db in testing::databases(&[]).await.into_iter().filter(|db| db.dialect() == Dialect::Postgres) {
        sqlx::query("UPDATE relay_lease SET holder = 'replica-2', epoch = 7").execute(db.reader()).await.unwrap();
        let Some(Holding { holder, epoch, ends_in_ms }) = outbox::status(&db, 0).await.unwrap().lease else {
            panic!("somebody has had it");
        };
        assert_eq!((holder.as_str(), epoch), ("replica-2", 7));
        assert!(ends_in_ms < 0, "{ends_in_ms}");
    }
}
