//! What is to be published commits with the change that caused it.

mod status;

use crate::http::trace::TraceContext;
use crate::{Clock, Db, DbError, Tx};

pub use status::{Command, Holding, Status, status};

/// An event on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    pub event_type: &'static str,
    /// What it is about: all events of one key stay in order.
    pub key: String,
    /// Counts this service's events of that key: 1, 2, 3 … The caller holds the aggregate's row, so no two
    /// transactions count at once.
    pub sequence: i64,
    /// JSON.
    pub payload: String,
}

pub async fn append_in_tx(tx: &mut Tx, event: &NewEvent, now_ms: i64) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO outbox (event_type, message_key, sequence, payload, traceparent, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(event.event_type)
    .bind(&event.key)
    .bind(event.sequence)
    .bind(&event.payload)
    .bind(TraceContext::current().map(|trace| trace.to_string()))
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    tx.mark_outbox_written();
    Ok(())
}

/// How much waits to be published, and for how long the oldest of it.
pub async fn measure(db: Db, clock: Clock) {
    let asked = sqlx::query_as("SELECT COUNT(*), MIN(created_at) FROM outbox").fetch_one(db.reader()).await;
    let (waiting, oldest): (i64, Option<i64>) = match asked {
        Ok(row) => row,
        Err(error) => return tracing::debug!(%error, "the outbox cannot be measured"),
    };
    let age_ms = oldest.map_or(0, |oldest| (clock.now_ms() - oldest).max(0));
    metrics::gauge!("outbox_waiting").set(waiting as f64);
    metrics::gauge!("outbox_oldest_age_seconds").set(age_ms as f64 / 1000.0);
}
