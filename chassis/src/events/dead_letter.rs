//! Messages that could not be processed: parked with the reason, by key, until someone redrives or discards them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::consumer::{Handler, handle};
use super::inbox;
use super::message::{HandlerError, Message};
use crate::http::extract::{Id, Json};
use crate::http::problem::{Problem, chain};
use crate::{Caller, Chassis, Clock, Db, DbError, Tx};

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

/// What a redrive did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Redriven {
    pub processed: u64,
    pub still_parked: u64,
}

/// Parks a message once; one that was parked or processed before is passed over.
pub async fn park(db: &Db, message: &Message, reason: &str) -> Result<(), DbError> {
    let (parked, why) = (message.clone(), reason.to_owned());
    let is_new = db.write(move |tx| Box::pin(async move { park_in_tx(tx, &parked, why).await })).await?;
    if is_new {
        tracing::error!(
            kafka.topic = message.topic,
            kafka.partition = message.partition,
            kafka.offset = message.offset,
            reason,
            "a message was parked"
        );
        metrics::counter!("dead_letters_parked_total").increment(1);
    }
    Ok(())
}

async fn park_in_tx(tx: &mut Tx, message: &Message, reason: String) -> Result<bool, DbError> {
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
    .bind(reason)
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
pub async fn any_in_tx(tx: &mut Tx) -> Result<bool, DbError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT id FROM dead_letter LIMIT 1").fetch_optional(&mut **tx).await?;
    Ok(row.is_some())
}

/// Whether an earlier message of the same key is parked.
pub async fn holds_back_in_tx(tx: &mut Tx, message: &Message) -> Result<bool, DbError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT id FROM dead_letter WHERE message_key = $1 LIMIT 1")
        .bind(message.parking_key())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.is_some())
}

pub async fn list(db: &Db) -> Result<Vec<DeadLetter>, DbError> {
    type Row = (i64, String, i64, i64, String, String, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, topic, kafka_partition, kafka_offset, message_key, reason, attempts, parked_at
         FROM dead_letter ORDER BY id LIMIT 1000",
    )
    .fetch_all(db.reader())
    .await?;
    let letter = |(id, topic, partition, offset, key, reason, attempts, parked_at)| DeadLetter {
        id,
        topic,
        partition,
        offset,
        key,
        reason,
        attempts,
        parked_at,
    };
    Ok(rows.into_iter().map(letter).collect())
}

/// Processes parked messages again, each key in its order; a key stops at its first failure.
pub async fn redrive(db: &Db, handler: &Handler) -> Result<Redriven, DbError> {
    let mut outcome = Redriven::default();
    let mut failed = std::collections::HashSet::new();
    for letter in list(db).await? {
        if failed.contains(&letter.key) {
            outcome.still_parked += 1;
            continue;
        }
        match redrive_one(db, handler, letter.id).await {
            Ok(()) => outcome.processed += 1,
            Err(HandlerError::Db(error)) if error.is_transient() => return Err(error),
            Err(error) => {
                note_failure(db, letter.id, chain(&error)).await?;
                failed.insert(letter.key);
                outcome.still_parked += 1;
            }
        }
    }
    Ok(outcome)
}

async fn redrive_one(db: &Db, handler: &Handler, id: i64) -> Result<(), HandlerError> {
    let handler = handler.clone();
    db.write(move |tx| {
        Box::pin(async move {
            let Some(message) = take_in_tx(tx, id).await? else { return Ok(()) };
            handle(tx, &handler, &message).await
        })
    })
    .await
}

/// Takes a parked message out; whoever comes second finds nothing.
async fn take_in_tx(tx: &mut Tx, id: i64) -> Result<Option<Message>, DbError> {
    type Row = (String, i64, i64, String, String, String);
    let row: Option<Row> = sqlx::query_as(
        "DELETE FROM dead_letter WHERE id = $1
         RETURNING topic, kafka_partition, kafka_offset, message_key, headers, payload",
    )
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((topic, partition, offset, key, headers, payload)) = row else { return Ok(None) };
    let corrupt = |what: &str| DbError::Corrupt(format!("dead_letter.{what}"));
    Ok(Some(Message {
        topic,
        partition: i32::try_from(partition).map_err(|_| corrupt("kafka_partition"))?,
        offset,
        key: Some(key),
        headers: serde_json::from_str(&headers).map_err(|_| corrupt("headers"))?,
        payload: STANDARD.decode(payload).map_err(|_| corrupt("payload"))?,
    }))
}

async fn note_failure(db: &Db, id: i64, reason: String) -> Result<(), DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            sqlx::query("UPDATE dead_letter SET attempts = attempts + 1, reason = $1 WHERE id = $2")
                .bind(reason)
                .bind(id)
                .execute(&mut **tx)
                .await?;
            Ok(())
        })
    })
    .await
}

pub async fn discard(db: &Db, id: i64) -> Result<bool, DbError> {
    db.write(move |tx| Box::pin(async move { Ok(take_in_tx(tx, id).await?.is_some()) })).await
}

#[derive(Clone)]
struct Desk {
    db: Db,
    handler: Handler,
    operator_role: String,
}

/// What an operator does with parked messages, for the service's protected router.
pub fn routes(chassis: &Chassis, db: &Db, handler: Handler) -> OpenApiRouter {
    let desk = Desk { db: db.clone(), handler, operator_role: chassis.config.auth.operator_role.clone() };
    OpenApiRouter::new()
        .routes(routes!(get_dead_letters))
        .routes(routes!(redrive_dead_letters))
        .routes(routes!(discard_dead_letter))
        .with_state(desk)
}

/// Parked messages, oldest first.
#[utoipa::path(get, path = "/actuator/dead-letters", tag = "operator", responses((status = 200, body = Vec<DeadLetter>)))]
async fn get_dead_letters(State(desk): State<Desk>, caller: Caller) -> Result<Response, Problem> {
    caller.require_any(&[&desk.operator_role])?;
    let letters = list(&desk.db).await.map_err(|error| Problem::internal(&error))?;
    Ok(axum::Json(letters).into_response())
}

/// Process all parked messages again, each key in its order.
#[utoipa::path(post, path = "/actuator/dead-letters/redrive", tag = "operator", responses((status = 200, body = Redriven)))]
async fn redrive_dead_letters(State(desk): State<Desk>, caller: Caller) -> Result<Response, Problem> {
    caller.require_any(&[&desk.operator_role])?;
    let outcome = redrive(&desk.db, &desk.handler).await.map_err(|error| Problem::internal(&error))?;
    Ok(axum::Json(outcome).into_response())
}

/// Why a message is given up.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
struct Discarding {
    reason: String,
}

/// Give a parked message up; the reason goes to the log.
#[utoipa::path(delete, path = "/actuator/dead-letters/{id}", tag = "operator", request_body = Discarding,
    params(("id" = i64, Path)), responses((status = 204)))]
async fn discard_dead_letter(
    State(desk): State<Desk>,
    caller: Caller,
    Id(id): Id,
    Json(discarding): Json<Discarding>,
) -> Result<Response, Problem> {
    caller.require_any(&[&desk.operator_role])?;
    if !discard(&desk.db, id).await.map_err(|error| Problem::internal(&error))? {
        return Err(Problem::not_found());
    }
    tracing::warn!(dead_letter.id = id, reason = discarding.reason, "a parked message was discarded");
    Ok(StatusCode::NO_CONTENT.into_response())
}
