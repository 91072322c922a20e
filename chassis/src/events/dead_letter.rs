//! Messages that could not be processed: parked with the reason, by key, until someone redrives or discards them.

mod commands;
mod redrive;
mod routes;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};
use utoipa::ToSchema;

use super::inbox;
use super::message::Message;
use crate::db::where_given;
use crate::failpoint::crash_point;
use crate::{Clock, Db, DbError, Tx};

pub use commands::Command;
pub use redrive::{Redriven, Which, redrive};
pub use routes::routes;

/// Letters read at once.
const PAGE: i64 = 256;
const CONTENT: &str = "topic, kafka_partition, kafka_offset, message_key, headers, payload";
const COLUMNS: &str = "id, topic, kafka_partition, kafka_offset, message_key, reason, attempts, parked_at";

/// A parked message, without its content: that may be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    pub id: i64,
    pub topic: String,
    pub partition: i64,
    pub offset: i64,
    pub key: String,
    pub reason: String,
    pub attempts: i64,
    pub parked_at: i64,
}

impl FromRow<'_, AnyRow> for DeadLetter {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            topic: row.try_get("topic")?,
            partition: row.try_get("kafka_partition")?,
            offset: row.try_get("kafka_offset")?,
            key: row.try_get("message_key")?,
            reason: row.try_get("reason")?,
            attempts: row.try_get("attempts")?,
            parked_at: row.try_get("parked_at")?,
        })
    }
}

/// Parks a message once; one that was parked or processed before is passed over.
pub async fn park(db: &Db, message: &Message, reason: &str) -> Result<(), DbError> {
    let (parked, why) = (message.clone(), reason.to_owned());
    crash_point("park.before-write");
    let is_new = db.write(move |tx| Box::pin(async move { park_in_tx(tx, &parked, &why).await })).await?;
    crash_point("park.after-write");
    if is_new {
        report(message, reason);
    }
    Ok(())
}

/// Says of a message whose parking is committed that it was parked.
pub(super) fn report(message: &Message, reason: &str) {
    tracing::error!(
        kafka.topic = message.topic,
        kafka.partition = message.partition,
        kafka.offset = message.offset,
        trace_id = message.trace().map(|trace| trace.trace()),
        reason,
        "a message was parked"
    );
    metrics::counter!("dead_letters_parked_total").increment(1);
}

pub(super) async fn park_in_tx(tx: &mut Tx, message: &Message, reason: &str) -> Result<bool, DbError> {
    if !inbox::advance_in_tx(tx, message).await? {
        return Ok(false);
    }
    let headers = serde_json::to_string(&message.headers).map_err(|error| DbError::Corrupt(error.to_string()))?;
    sqlx::query(
        "INSERT INTO dead_letter
            (topic, kafka_partition, kafka_offset, message_key, headers, payload, reason, attempts, parked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)",
    )
    .bind(&message.topic)
    .bind(i64::from(message.partition))
    .bind(message.offset)
    .bind(message.parking_key())
    .bind(headers)
    .bind(STANDARD.encode(&message.payload))
    .bind(reason.to_owned())
    .bind(Clock::system().now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// How many wait for someone to redrive or discard them.
pub async fn measure(db: Db) {
    let counted = sqlx::query_as("SELECT COUNT(*) FROM dead_letter").fetch_one(db.reader()).await;
    let (parked,): (i64,) = match counted {
        Ok(row) => row,
        Err(error) => return tracing::debug!(%error, "parked messages cannot be counted"),
    };
    metrics::gauge!("dead_letters").set(parked as f64);
}

/// The usual case is an empty table, found out once a batch.
pub(super) async fn any_in_tx(tx: &mut Tx) -> Result<bool, DbError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT id FROM dead_letter LIMIT 1").fetch_optional(&mut **tx).await?;
    Ok(row.is_some())
}

/// Whether an earlier message of the same key is parked; if so, it stays parked until this transaction ends.
/// One that is just being redriven or discarded is waited for.
pub(super) async fn holds_back_in_tx(tx: &mut Tx, message: &Message) -> Result<bool, DbError> {
    loop {
        let (last,): (Option<i64>,) = sqlx::query_as("SELECT MAX(id) FROM dead_letter WHERE message_key = $1")
            .bind(message.parking_key())
            .fetch_one(&mut **tx)
            .await?;
        let Some(last) = last else { return Ok(false) };
        let locked = sqlx::query("UPDATE dead_letter SET attempts = attempts WHERE id = $1")
            .bind(last)
            .execute(&mut **tx)
            .await?;
        if locked.rows_affected() == 1 {
            return Ok(true);
        }
    }
}

/// Parked messages after the one with this id, oldest first; of one key where it is given.
pub async fn list(db: &Db, key: Option<&str>, after: i64, limit: i64) -> Result<Vec<DeadLetter>, DbError> {
    let condition = where_given(&[("message_key", key.is_some())]);
    let statement = format!("SELECT {COLUMNS} FROM dead_letter WHERE {condition} AND id > $2 ORDER BY id LIMIT $3");
    let letters = sqlx::query_as(AssertSqlSafe(statement)).bind(key.map(str::to_owned)).bind(after).bind(limit);
    Ok(letters.fetch_all(db.reader()).await?)
}

/// A parked message with its content.
pub async fn find(db: &Db, id: i64) -> Result<Option<(DeadLetter, Message)>, DbError> {
    let statement = format!("SELECT {COLUMNS}, headers, payload FROM dead_letter WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id).fetch_optional(db.reader()).await?;
    row.map(|row| Ok((DeadLetter::from_row(&row)?, message(&row)?))).transpose()
}

fn message(row: &AnyRow) -> Result<Message, DbError> {
    let corrupt = |what: &str| DbError::Corrupt(format!("dead_letter.{what}"));
    let text = |column: &str| row.try_get::<String, _>(column);
    Ok(Message {
        topic: text("topic")?,
        partition: row.try_get::<i64, _>("kafka_partition")?.try_into().map_err(|_| corrupt("kafka_partition"))?,
        offset: row.try_get("kafka_offset")?,
        key: Some(text("message_key")?),
        headers: serde_json::from_str(&text("headers")?).map_err(|_| corrupt("headers"))?,
        payload: STANDARD.decode(text("payload")?).map_err(|_| corrupt("payload"))?,
    })
}

/// Takes a parked message out; whoever comes second finds nothing.
async fn take_in_tx(tx: &mut Tx, id: i64) -> Result<Option<Message>, DbError> {
    let statement = format!("DELETE FROM dead_letter WHERE id = $1 RETURNING {CONTENT}");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id).fetch_optional(&mut **tx).await?;
    row.map(|row| message(&row)).transpose()
}

/// Gives a parked message up; what it was and why is kept, its content is not. `false`: there is none.
pub async fn discard(db: &Db, id: i64, reason: &str) -> Result<bool, DbError> {
    let why = reason.to_owned();
    let is_gone = db.write(move |tx| Box::pin(async move { discard_in_tx(tx, id, why).await })).await?;
    if is_gone {
        tracing::warn!(dead_letter.id = id, reason, "a parked message was discarded");
    }
    Ok(is_gone)
}

async fn discard_in_tx(tx: &mut Tx, id: i64, reason: String) -> Result<bool, DbError> {
    let Some(message) = take_in_tx(tx, id).await? else { return Ok(false) };
    sqlx::query(
        "INSERT INTO discarded_letter (id, topic, kafka_partition, kafka_offset, message_key, reason, discarded_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id)
    .bind(&message.topic)
    .bind(i64::from(message.partition))
    .bind(message.offset)
    .bind(message.parking_key())
    .bind(reason)
    .bind(Clock::system().now_ms())
    .execute(&mut **tx)
    .await?;
    Ok(true)
}
