//! The one write path: all or nothing, each closure for itself, whatever becomes of its neighbours.

use std::time::Duration;

use chassis::db::Migration;
use chassis::events::outbox::{NewEvent, append_in_tx};
use chassis::{Db, DbError, testing};
use futures_util::future::join_all;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 100,
    name: "counter",
    sql: "CREATE TABLE counter (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
          INSERT INTO counter VALUES ('a', 0)",
}];

async fn databases() -> Vec<Db> {
    testing::databases(MIGRATIONS).await
}

async fn value(db: &Db) -> i64 {
    let (value,): (i64,) = sqlx::query_as("SELECT value FROM counter").fetch_one(db.reader()).await.unwrap();
    value
}

/// Adds to the counter, then fails, panics, or neither.
async fn add(db: &Db, amount: i64, then: fn() -> Result<(), DbError>) -> Result<(), DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            sqlx::query("UPDATE counter SET value = value + $1").bind(amount).execute(&mut **tx).await?;
            then()
        })
    })
    .await
}

fn nothing() -> Result<(), DbError> {
    Ok(())
}

fn fails() -> Result<(), DbError> {
    Err(DbError::Corrupt("on purpose".to_owned()))
}

fn panics() -> Result<(), DbError> {
    panic!("on purpose")
}

#[tokio::test]
async fn what_returns_ok_is_there_and_what_fails_or_panics_is_not() {
    for db in databases().await {
        add(&db, 1, nothing).await.unwrap();
        add(&db, 10, fails).await.unwrap_err();
        assert!(matches!(add(&db, 100, panics).await, Err(DbError::Panicked)));
        add(&db, 1000, nothing).await.unwrap();
        assert_eq!(value(&db).await, 1001);
    }
}

#[tokio::test]
async fn neighbours_in_one_commit_do_not_take_each_other_down() {
    for db in databases().await {
        let outcomes = join_all((0..300).map(|n| {
            let then = match n % 3 {
                0 => nothing as fn() -> Result<(), DbError>,
                1 => fails,
                _ => panics,
            };
            add(&db, 1, then)
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 100);
        assert_eq!(value(&db).await, 100);
    }
}

#[tokio::test]
async fn a_broken_statement_spoils_only_its_own_transaction() {
    for db in databases().await {
        let broken = db.write(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE counter SET value = value + 5").execute(&mut **tx).await?;
                sqlx::query("INSERT INTO counter VALUES ('a', 0)").execute(&mut **tx).await?;
                Ok::<_, DbError>(())
            })
        });
        let (broken, whole) = tokio::join!(broken, add(&db, 1, nothing));
        assert!(!broken.unwrap_err().is_transient(), "a broken rule is nothing to wait for");
        whole.unwrap();
        assert_eq!(value(&db).await, 1);
    }
}

#[tokio::test]
async fn a_transaction_ends_also_if_its_caller_has_gone() {
    for db in databases().await {
        let writing = tokio::spawn({
            let db = db.clone();
            async move { add(&db, 1, nothing).await }
        });
        tokio::task::yield_now().await;
        writing.abort();
        let ended = async {
            while value(&db).await != 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    }
}

/// Puts an event into the outbox, then fails or not.
async fn publish(db: &Db, then: fn() -> Result<(), DbError>) -> Result<(), DbError> {
    let event = NewEvent { event_type: "Counted", key: "a".into(), sequence: 1, payload: "{}".into() };
    db.write(move |tx| {
        Box::pin(async move {
            append_in_tx(tx, &event, 0).await?;
            then()
        })
    })
    .await
}

#[tokio::test]
async fn an_event_is_in_the_outbox_only_with_its_change() {
    for db in databases().await {
        publish(&db, fails).await.unwrap_err();
        assert!(testing::outbox(&db).await.is_empty());
        publish(&db, nothing).await.unwrap();
        assert_eq!(testing::outbox(&db).await.len(), 1);
    }
}

#[tokio::test]
async fn the_relay_is_woken_by_a_commit_with_an_event_and_not_by_a_rollback() {
    for db in databases().await {
        publish(&db, fails).await.unwrap_err();
        let mut woken = Box::pin(db.outbox_written());
        assert!(futures_util::poll!(&mut woken).is_pending());
        publish(&db, nothing).await.unwrap();
        woken.await;
    }
}

#[tokio::test]
async fn a_sqlite_file_belongs_to_one_process_at_a_time() {
    let path = std::env::temp_dir().join(format!("locked-{}.db", std::process::id()));
    let settings = chassis::config::Database {
        url: chassis::Secret::new(format!("sqlite:{}", path.display())),
        password: chassis::Secret::default(),
        max_connections: 1,
    };
    let first = Db::open(&settings, MIGRATIONS).await.unwrap();
    let refused = Db::open(&settings, MIGRATIONS).await.err().unwrap().to_string();
    assert!(refused.contains("another process"), "{refused}");
    add(&first, 7, nothing).await.unwrap();
    let mut asked = Box::pin(join_all((0..20).map(|_| add(&first, 1, nothing))));
    assert!(futures_util::poll!(&mut asked).is_pending());
    first.close().await;
    assert!(asked.await.iter().all(Result::is_ok), "what was asked before the close is written");
    assert!(matches!(add(&first, 100, nothing).await, Err(DbError::Closed)));
    drop(first);
    let again = Db::open(&settings, MIGRATIONS).await.unwrap();
    assert_eq!(value(&again).await, 27, "migrations run once");
}

#[tokio::test]
async fn a_url_of_another_kind_is_a_bad_setting() {
    let settings = chassis::config::Database {
        url: chassis::Secret::new("mysql://root@localhost/x"),
        password: chassis::Secret::default(),
        max_connections: 1,
    };
    let refused = Db::open(&settings, MIGRATIONS).await.err().unwrap().to_string();
    assert!(refused.contains("database.url") && refused.contains("DATABASE_URL"), "{refused}");
}
