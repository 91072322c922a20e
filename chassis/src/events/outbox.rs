//! What is to be published commits with the change that caused it.

use crate::http::trace::TraceContext;
use crate::{DbError, Tx};

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
