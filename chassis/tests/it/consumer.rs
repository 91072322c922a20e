//! Taking messages in: each once, in order, and a bad one in nobody's way.

use std::sync::Arc;

use chassis::db::Migration;
use chassis::events::consumer::take_in;
use chassis::events::dead_letter::Which;
use chassis::events::{Handler, HandlerError, Message, dead_letter};
use chassis::{Db, testing};
use serde_json::{Value, json};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 100,
    name: "seen",
    sql: "CREATE TABLE seen (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message TEXT NOT NULL)",
}];

/// Writes down what it sees; refuses poison, panics at a bomb, and knows how to cure what `cured` names.
fn handler(cured: bool) -> Handler {
    Arc::new(move |tx, message| {
        Box::pin(async move {
            let value: Value =
                serde_json::from_slice(&message.payload).map_err(|error| HandlerError::Poison(error.to_string()))?;
            let text = value["text"].as_str().unwrap_or_default().to_owned();
            sqlx::query("INSERT INTO seen (message) VALUES ($1)")
                .bind(&text)
                .execute(&mut **tx)
                .await
                .map_err(chassis::DbError::from)?;
            assert!(text != "bomb" || cured, "on purpose");
            if text == "poison" && !cured {
                return Err(HandlerError::Poison("it is poison".to_owned()));
            }
            Ok(())
        })
    })
}

async fn take(db: &Db, messages: &[Message]) {
    take_in(db, &handler(false), &messages.to_vec().into()).await.unwrap();
}

async fn seen(db: &Db) -> Vec<String> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT message FROM seen ORDER BY id").fetch_all(db.reader()).await.unwrap();
    rows.into_iter().map(|(message,)| message).collect()
}

async fn parked(db: &Db) -> Vec<(String, String)> {
    dead_letter::list(db, None, 0, 1000).await.unwrap().into_iter().map(|letter| (letter.key, letter.reason)).collect()
}

fn says(key: &str, sequence: i64, text: &str) -> Message {
    testing::message("/test", key, sequence, &json!({"text": text}))
}

#[tokio::test]
async fn a_message_is_taken_in_once_however_often_it_comes() {
    for db in testing::databases(MIGRATIONS).await {
        let (first, second) = (says("a", 1, "one"), says("a", 2, "two"));
        take(&db, &[first.clone(), first.clone(), second.clone()]).await;
        take(&db, &[first, second]).await;
        assert_eq!(seen(&db).await, ["one", "two"]);
    }
}

#[tokio::test]
async fn an_older_event_of_a_key_does_not_come_after_a_newer_one() {
    for db in testing::databases(MIGRATIONS).await {
        take(&db, &[says("a", 2, "two"), says("a", 1, "one"), says("b", 1, "other")]).await;
        assert_eq!(seen(&db).await, ["two", "other"]);
    }
}

#[tokio::test]
async fn an_event_without_headers_is_known_by_its_place_in_the_partition() {
    for db in testing::databases(MIGRATIONS).await {
        let message = testing::foreign_message(7, r#"{"text":"original"}"#);
        take(&db, &[message.clone(), message.clone()]).await;
        take(&db, &[message, testing::foreign_message(8, r#"{"text":"original"}"#)]).await;
        assert_eq!(seen(&db).await, ["original", "original"]);
    }
}

#[tokio::test]
async fn a_bad_message_is_parked_with_its_reason_and_the_others_go_on() {
    for db in testing::databases(MIGRATIONS).await {
        let unreadable = testing::foreign_message(1, "\u{1}not json");
        take(
            &db,
            &[says("a", 1, "one"), says("b", 1, "poison"), says("c", 1, "bomb"), unreadable, says("d", 1, "two")],
        )
        .await;
        assert_eq!(seen(&db).await, ["one", "two"]);
        let parked = parked(&db).await;
        assert_eq!(parked[0], ("b".to_owned(), "it is poison".to_owned()));
        assert_eq!(parked[1], ("c".to_owned(), "the handler panicked".to_owned()));
        assert_eq!(parked[2].0, "events/0/1");
    }
}

#[tokio::test]
async fn what_follows_a_parked_message_of_its_key_waits_behind_it() {
    for db in testing::databases(MIGRATIONS).await {
        take(&db, &[says("a", 1, "poison"), says("b", 1, "other")]).await;
        take(&db, &[says("a", 2, "after"), says("b", 2, "other too")]).await;
        assert_eq!(seen(&db).await, ["other", "other too"]);
        assert_eq!(parked(&db).await.len(), 2);
    }
}

#[tokio::test]
async fn a_parked_message_that_comes_again_is_parked_once() {
    for db in testing::databases(MIGRATIONS).await {
        take(&db, &[says("a", 1, "poison")]).await;
        take(&db, &[says("a", 1, "poison")]).await;
        assert_eq!(parked(&db).await.len(), 1);
    }
}

#[tokio::test]
async fn a_redrive_takes_each_key_in_its_order_and_stops_it_at_its_first_failure() {
    for db in testing::databases(MIGRATIONS).await {
        take(&db, &[says("a", 1, "poison"), says("a", 2, "after"), says("b", 1, "bomb")]).await;
        let in_vain = dead_letter::redrive(&db, &handler(false), &Which::All).await.unwrap();
        assert_eq!((in_vain.processed, in_vain.still_parked), (0, 3));
        assert!(seen(&db).await.is_empty());
        assert_eq!(dead_letter::list(&db, None, 0, 1000).await.unwrap()[0].attempts, 2);

        let cured = dead_letter::redrive(&db, &handler(true), &Which::All).await.unwrap();
        assert_eq!((cured.processed, cured.still_parked), (3, 0));
        assert_eq!(seen(&db).await, ["poison", "after", "bomb"]);
        take(&db, &[says("a", 3, "and on")]).await;
        assert_eq!(seen(&db).await.len(), 4);
    }
}

#[tokio::test]
async fn nothing_is_forgotten_when_the_database_is_away() {
    let db = testing::sqlite(MIGRATIONS).await;
    let message: Arc<[Message]> = [says("a", 1, "one")].into();
    db.close().await;
    let error = take_in(&db, &handler(false), &message).await.unwrap_err();
    assert!(error.is_transient(), "{error}: it must be tried again");
}
