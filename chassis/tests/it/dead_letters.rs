//! What operators do with parked messages while the service goes on.

use std::sync::Arc;

use chassis::db::Migration;
use chassis::events::consumer::take_in;
use chassis::events::dead_letter::{self, Which};
use chassis::events::{Handler, HandlerError, Message};
use chassis::{Db, DbError, testing};
use serde_json::json;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 100,
    name: "seen",
    sql: "CREATE TABLE seen (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        message_key TEXT NOT NULL, sequence BIGINT NOT NULL)",
}];

/// Writes down what it sees, unless it is sick.
fn handler(is_sick: bool) -> Handler {
    Arc::new(move |tx, message| {
        Box::pin(async move {
            if is_sick {
                return Err(HandlerError::Poison("sick".to_owned()));
            }
            let (_, key, sequence) = message.position();
            sqlx::query("INSERT INTO seen (message_key, sequence) VALUES ($1, $2)")
                .bind(key)
                .bind(sequence)
                .execute(&mut **tx)
                .await
                .map_err(DbError::from)?;
            Ok(())
        })
    })
}

fn says(key: &str, sequence: i64) -> Message {
    testing::message("/test", key, sequence, &json!({}))
}

async fn park(db: &Db, messages: &[Message]) {
    take_in(db, &handler(true), &messages.to_vec().into()).await.unwrap();
}

async fn parked(db: &Db) -> Vec<i64> {
    dead_letter::list(db, None, 0, 1000).await.unwrap().into_iter().map(|letter| letter.id).collect()
}

async fn seen(db: &Db, key: &str) -> Vec<i64> {
    let rows: Vec<(i64,)> = sqlx::query_as("SELECT sequence FROM seen WHERE message_key = $1 ORDER BY id")
        .bind(key.to_owned())
        .fetch_all(db.reader())
        .await
        .unwrap();
    rows.into_iter().map(|(sequence,)| sequence).collect()
}

#[tokio::test]
async fn a_redrive_beside_the_consumer_keeps_each_key_in_order_and_leaves_nothing_parked() {
    const KEYS: [&str; 4] = ["a", "b", "c", "d"];
    const LAST: i64 = 40;
    for db in testing::databases(MIGRATIONS).await {
        let beside = testing::attached(&db).await;
        let of_all_keys = |sequence| KEYS.map(|key| says(key, sequence));
        park(&db, &of_all_keys(1)).await;
        park(&db, &of_all_keys(2)).await;

        let consuming = async {
            for sequence in 3..=LAST {
                take_in(&db, &handler(false), &of_all_keys(sequence).into()).await.unwrap();
            }
        };
        let well = handler(false);
        let (_, first, second) = tokio::join!(
            consuming,
            dead_letter::redrive(&beside, &well, &Which::All),
            dead_letter::redrive(&db, &well, &Which::All),
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.processed + second.processed >= 8, "{first:?} {second:?}");
        for key in KEYS {
            assert_eq!(seen(&db, key).await, (1..=LAST).collect::<Vec<_>>(), "{key} on {:?}", db.dialect());
        }
        assert!(parked(&db).await.is_empty());
        beside.close().await;
    }
}

#[tokio::test]
async fn a_redrive_ends_with_the_last_message_however_many_there_are() {
    for db in testing::databases(MIGRATIONS).await {
        let many: Vec<Message> = (1..=300).map(|sequence| says("a", sequence)).collect();
        park(&db, &many).await;
        let outcome = dead_letter::redrive(&db, &handler(false), &Which::All).await.unwrap();
        assert_eq!((outcome.processed, outcome.still_parked), (300, 0));
        assert_eq!(seen(&db, "a").await, (1..=300).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_message_takes_with_it_those_of_its_key_that_came_before() {
    for db in testing::databases(MIGRATIONS).await {
        park(&db, &[says("a", 1), says("b", 1), says("a", 2), says("a", 3)]).await;
        let ids = parked(&db).await;
        let (second_of_a, _) = dead_letter::find(&db, ids[2]).await.unwrap().unwrap();
        dead_letter::redrive(&db, &handler(false), &Which::UpTo(second_of_a)).await.unwrap();
        assert_eq!((seen(&db, "a").await, seen(&db, "b").await), (vec![1, 2], vec![]));

        let outcome = dead_letter::redrive(&db, &handler(false), &Which::Key("a".to_owned())).await.unwrap();
        assert_eq!(outcome.processed, 1);
        assert_eq!(parked(&db).await, [ids[1]]);
    }
}

#[tokio::test]
async fn what_is_discarded_is_kept_with_the_reason_and_without_its_content() {
    for db in testing::databases(MIGRATIONS).await {
        park(&db, &[says("a", 1)]).await;
        let id = parked(&db).await[0];
        assert!(dead_letter::discard(&db, id, "sent by mistake").await.unwrap());
        assert!(!dead_letter::discard(&db, id, "again").await.unwrap());
        let kept: (i64, String, String) = sqlx::query_as("SELECT id, message_key, reason FROM discarded_letter")
            .fetch_one(db.reader())
            .await
            .unwrap();
        assert_eq!(kept, (id, "a".to_owned(), "sent by mistake".to_owned()));
        take_in(&db, &handler(false), &[says("a", 2)].into()).await.unwrap();
        assert_eq!(seen(&db, "a").await, [2]);
    }
}

#[tokio::test]
async fn a_command_neither_makes_a_database_nor_waits_for_the_service_to_go() {
    let path = std::env::temp_dir().join(format!("attached-{}.db", std::process::id()));
    let settings = chassis::config::Database {
        url: chassis::Secret::new(format!("sqlite:{}", path.display())),
        password: chassis::Secret::default(),
        max_connections: 1,
    };
    let missing = Db::attach(&settings).await.err().unwrap().to_string();
    assert!(missing.contains("no such file") && !path.exists(), "{missing}");

    let db = Db::open(&settings, MIGRATIONS).await.unwrap();
    let beside = Db::attach(&settings).await.unwrap();
    park(&beside, &[says("a", 1)]).await;
    assert_eq!(parked(&db).await.len(), 1);
    beside.close().await;
    park(&db, &[says("a", 2)]).await;
    assert_eq!(parked(&db).await.len(), 2);
    db.close().await;
}
