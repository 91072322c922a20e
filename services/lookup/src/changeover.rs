//! The statements that compare the view with its shadow and change it over. All of them run in one transaction.

use std::hash::{DefaultHasher, Hash, Hasher};

use chassis::{Db, DbError, Tx};
use futures_util::TryStreamExt;
use sqlx::AssertSqlSafe;

pub const LIVE: &str = "";
pub const SHADOW: &str = "shadow.";

/// A table that is made from events, its key and all its columns.
struct Table {
    name: &'static str,
    key: &'static [&'static str],
    columns: &'static [&'static str],
}

const STATS: Table = Table {
    name: "reservation_stats",
    key: &["reservation_id"],
    columns: &[
        "reservation_id",
        "version",
        "customer_id",
        "reservator_name",
        "phone_number",
        "phone_digits",
        "reservation_date",
        "visit_at",
        "doctor",
        "fee",
        "reservation",
        "treatment",
        "payment",
        "state",
        "last_event_at",
    ],
};
const HISTORY: Table = Table {
    name: "reservation_history",
    key: &["reservation_id", "version"],
    columns: &["reservation_id", "version", "event_type", "happened_at", "reservation_date", "doctor", "fee"],
};
const COUNT: Table = Table {
    name: "reservation_count",
    key: &["state", "kafka_partition"],
    columns: &["state", "kafka_partition", "total"],
};

impl Table {
    /// Rows of the first that the second does not have, or has otherwise.
    fn except(&self, first: &str, second: &str) -> String {
        let (name, columns) = (self.name, self.columns.join(", "));
        format!("SELECT {columns} FROM {first}{name} EXCEPT SELECT {columns} FROM {second}{name}")
    }
}

async fn execute_in_tx(tx: &mut Tx, statement: String) -> Result<u64, DbError> {
    let done = sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

async fn number_in_tx(tx: &mut Tx, statement: String) -> Result<i64, DbError> {
    let (number,) = sqlx::query_as(AssertSqlSafe(statement)).persistent(false).fetch_one(&mut **tx).await?;
    Ok(number)
}

/// Makes the view what its shadow is. Only rows that differ are written.
pub async fn change_over_in_tx(tx: &mut Tx) -> Result<(), DbError> {
    for table in [STATS, HISTORY, COUNT] {
        let (name, key, columns) = (table.name, table.key.join(", "), table.columns.join(", "));
        let wrong = table.except(LIVE, SHADOW);
        execute_in_tx(tx, format!("DELETE FROM {name} WHERE ({key}) IN (SELECT {key} FROM ({wrong}) AS wrong)"))
            .await?;
        execute_in_tx(tx, format!("INSERT INTO {name} ({columns}) {}", table.except(SHADOW, LIVE))).await?;
    }
    // The shadow has taken in at least as much. The consumer knows the rest when it comes to it.
    let places = "INSERT INTO inbox (source, message_key, sequence)
         SELECT source, message_key, sequence FROM shadow.inbox WHERE 1 = 1
         ON CONFLICT (source, message_key) DO UPDATE SET sequence = excluded.sequence
         WHERE inbox.sequence < excluded.sequence";
    execute_in_tx(tx, places.to_owned()).await?;
    change_letters_in_tx(tx).await
}

/// Parked messages keep their ids unless others are parked now.
async fn change_letters_in_tx(tx: &mut Tx) -> Result<(), DbError> {
    const PLACE: &str = "topic, kafka_partition, kafka_offset";
    const COLUMNS: &str =
        "topic, kafka_partition, kafka_offset, message_key, headers, payload, reason, attempts, parked_at";
    let mut others = 0;
    for (first, second) in [(LIVE, SHADOW), (SHADOW, LIVE)] {
        let differing =
            format!("SELECT {PLACE} FROM {first}dead_letter EXCEPT SELECT {PLACE} FROM {second}dead_letter");
        others += number_in_tx(tx, format!("SELECT COUNT(*) FROM ({differing}) AS others")).await?;
    }
    if others == 0 {
        return Ok(());
    }
    execute_in_tx(tx, "DELETE FROM dead_letter".to_owned()).await?;
    let insert = format!("INSERT INTO dead_letter ({COLUMNS}) SELECT {COLUMNS} FROM shadow.dead_letter ORDER BY id");
    execute_in_tx(tx, insert).await?;
    Ok(())
}

/// Reservations whose row or history is not what the shadow has.
pub async fn differing_in_tx(tx: &mut Tx) -> Result<u64, DbError> {
    let mut parts = Vec::new();
    for table in [STATS, HISTORY] {
        for (first, second) in [(LIVE, SHADOW), (SHADOW, LIVE)] {
            parts.push(format!("SELECT reservation_id FROM ({}) AS part", table.except(first, second)));
        }
    }
    let count = number_in_tx(tx, format!("SELECT COUNT(*) FROM ({}) AS differing", parts.join(" UNION "))).await?;
    Ok(count.unsigned_abs())
}

/// Of all rows and their histories, in their order.
pub async fn checksum_in_tx(tx: &mut Tx, schema: &str) -> Result<String, DbError> {
    let mut hasher = DefaultHasher::new();
    for table in [STATS, HISTORY] {
        let texts: Vec<String> =
            table.columns.iter().map(|column| format!("COALESCE(CAST({column} AS TEXT), '~')")).collect();
        let (text, key) = (texts.join(" || '|' || "), table.key.join(", "));
        let statement = format!("SELECT {text} FROM {schema}{} ORDER BY {key}", table.name);
        let query = sqlx::query_as::<_, (String,)>(AssertSqlSafe(statement)).persistent(false);
        let mut rows = query.fetch(&mut **tx);
        while let Some((row,)) = rows.try_next().await? {
            row.hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Rows and parked messages of the shadow.
pub async fn count_in_tx(tx: &mut Tx) -> Result<(i64, i64), DbError> {
    let rows = number_in_tx(tx, "SELECT COUNT(*) FROM shadow.reservation_stats".to_owned()).await?;
    let parked = number_in_tx(tx, "SELECT COUNT(*) FROM shadow.dead_letter".to_owned()).await?;
    Ok((rows, parked))
}

/// Whose shadow it is.
pub async fn token_in_tx(tx: &mut Tx) -> Result<Option<i64>, DbError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT began_at FROM shadow.rebuild").fetch_optional(&mut **tx).await?;
    Ok(row.map(|(token,)| token))
}

/// Where a message was: topic, partition, offset.
type Place = (String, i64, i64);

pub async fn discarded_in_tx(tx: &mut Tx) -> Result<Vec<Place>, DbError> {
    let places = sqlx::query_as("SELECT topic, kafka_partition, kafka_offset FROM discarded_letter");
    Ok(places.fetch_all(&mut **tx).await?)
}

pub async fn discard(shadow: &Db, places: Vec<Place>) -> Result<(), DbError> {
    shadow
        .write(move |tx| {
            Box::pin(async move {
                for (topic, partition, offset) in places {
                    sqlx::query(
                        "DELETE FROM dead_letter WHERE topic = $1 AND kafka_partition = $2 AND kafka_offset = $3",
                    )
                    .bind(topic)
                    .bind(partition)
                    .bind(offset)
                    .execute(&mut **tx)
                    .await?;
                }
                Ok(())
            })
        })
        .await
}
