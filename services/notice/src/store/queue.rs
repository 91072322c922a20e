//! The SQL of sending: what is due, who sends it, how it went.
//!
//! A channel that is down for an hour makes a queue that no planner has heard of: its statistics say that next to nothing
//! is to be sent. So each statement reads one end of one index or what it names by number, and where the state is not to
//! lead to an index it is asked for as `state || '' = …`, and a number as `id + 0`.

use std::collections::HashMap;

use chassis::db::listed;
use chassis::http::trace::TraceContext;
use chassis::{Db, DbError, Tx};
use sqlx::AssertSqlSafe;

use super::COLUMNS;
use crate::domain::{Notice, State};

/// Messages that are looked at in one statement at least.
const PAGE: usize = 128;

/// A message that is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub id: i64,
    pub reservation_id: i64,
    pub due_at: i64,
    /// How often it was tried. Whoever takes it counts on, so that nobody else can.
    pub attempts: i64,
}

pub const DUE: &str = "SELECT id, reservation_id, due_at, attempts FROM notice
    WHERE state = 'PENDING' AND due_at <= $1 AND (due_at, id) > ($2, $3) ORDER BY due_at, id LIMIT $4";

/// Oldest first, after a time and a number.
async fn due_after(db: &Db, now_ms: i64, after: (i64, i64), limit: usize) -> Result<Vec<Due>, DbError> {
    let rows: Vec<(i64, i64, i64, i64)> = sqlx::query_as(DUE)
        .bind(now_ms)
        .bind(after.0)
        .bind(after.1)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(db.reader())
        .await?;
    let due = |(id, reservation_id, due_at, attempts)| Due { id, reservation_id, due_at, attempts };
    Ok(rows.into_iter().map(due).collect())
}

/// The oldest message of each reservation that is still to be sent.
async fn firsts(db: &Db, of: &[Due]) -> Result<HashMap<i64, i64>, DbError> {
    let statement = format!(
        "SELECT reservation_id, MIN(id) FROM notice
         WHERE reservation_id IN ({}) AND state || '' = 'PENDING' GROUP BY reservation_id",
        listed(of.iter().map(|due| due.reservation_id))
    );
    let firsts: Vec<(i64, i64)> =
        sqlx::query_as(AssertSqlSafe(statement)).persistent(false).fetch_all(db.reader()).await?;
    Ok(firsts.into_iter().collect())
}

/// What is to be sent now, oldest first.
pub async fn due(db: &Db, now_ms: i64, limit: usize) -> Result<Vec<Due>, DbError> {
    due_after(db, now_ms, (i64::MIN, 0), limit).await
}

/// The same, but of a reservation's messages only the first: they arrive in their order.
pub async fn due_in_order(db: &Db, now_ms: i64, limit: usize) -> Result<Vec<Due>, DbError> {
    let (mut heads, mut after, size) = (Vec::new(), (i64::MIN, 0), limit.max(PAGE));
    loop {
        let page = due_after(db, now_ms, after, size).await?;
        let Some(last) = page.last() else { return Ok(heads) };
        after = (last.due_at, last.id);
        let firsts = firsts(db, &page).await?;
        heads.extend(page.iter().filter(|due| firsts.get(&due.reservation_id) == Some(&due.id)));
        heads.truncate(limit);
        if heads.len() == limit || page.len() < size {
            return Ok(heads);
        }
    }
}

/// Each with what it was when it was seen: taken by somebody else, put off or ended, it is another.
fn as_seen(due: &[Due]) -> String {
    listed(due.iter().map(|due| format!("({},{},{})", due.id, due.attempts, due.due_at)))
}

const AS_SEEN: &str =
    "id = due.column1 AND attempts = due.column2 AND due_at = due.column3 AND state || '' = 'PENDING'";

/// Marks them as sent, as far as they are what was seen.
pub async fn mark_sent(db: &Db, due: &[Due], now_ms: i64) -> Result<Vec<(i64, Option<TraceContext>)>, DbError> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let statement = format!(
        "UPDATE notice SET state = 'SENT', attempts = attempts + 1, sent_at = $1 FROM (VALUES {}) AS due
         WHERE {AS_SEEN} RETURNING id, traceparent",
        as_seen(due)
    );
    db.write(move |tx| {
        Box::pin(async move {
            let sent: Vec<(i64, Option<String>)> =
                sqlx::query_as(AssertSqlSafe(statement)).persistent(false).bind(now_ms).fetch_all(&mut **tx).await?;
            let with_trace = |(id, trace): (i64, Option<String>)| (id, trace.as_deref().and_then(TraceContext::parse));
            Ok(sent.into_iter().map(with_trace).collect())
        })
    })
    .await
}

/// Takes them until then, as far as they are what was seen.
pub async fn claim(db: &Db, due: &[Due], until_ms: i64) -> Result<Vec<Notice>, DbError> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let statement = format!(
        "UPDATE notice SET attempts = attempts + 1, due_at = $1 FROM (VALUES {}) AS due
         WHERE {AS_SEEN} RETURNING {COLUMNS}",
        as_seen(due)
    );
    db.write(move |tx| {
        Box::pin(async move {
            let query = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
            Ok(query.bind(until_ms).fetch_all(&mut **tx).await?)
        })
    })
    .await
}

/// How a try to send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    pub id: i64,
    pub reservation_id: i64,
    /// Which try it was: one that took too long and was tried again by another says nothing any more.
    pub attempt: i64,
    pub end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Delivered { at_ms: i64 },
    GivenUp { reason: String },
    Later { due_at: i64, reason: String },
}

impl Tried {
    /// Whether messages may have been put off with it that can go now.
    fn frees_others(&self) -> bool {
        self.attempt > 1 && !matches!(self.end, End::Later { .. })
    }
}

pub async fn settle(db: &Db, tried: Vec<Tried>) -> Result<(), DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            let mut delivered = Vec::with_capacity(tried.len());
            for tried in &tried {
                match &tried.end {
                    End::Delivered { at_ms } => delivered.push(format!("({},{},{at_ms})", tried.id, tried.attempt)),
                    End::GivenUp { reason } => give_up_in_tx(tx, tried, reason).await?,
                    End::Later { due_at, reason } => put_off_in_tx(tx, tried, *due_at, reason).await?,
                }
            }
            settle_delivered_in_tx(tx, delivered).await?;
            for tried in tried.iter().filter(|tried| tried.frees_others()) {
                bring_forward_in_tx(tx, tried).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Those that have arrived, which are nearly all, in one statement.
async fn settle_delivered_in_tx(tx: &mut Tx, delivered: Vec<String>) -> Result<(), DbError> {
    if delivered.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "UPDATE notice SET state = 'DELIVERED', sent_at = tried.column3, failure = NULL FROM (VALUES {}) AS tried
         WHERE id = tried.column1 AND attempts = tried.column2 AND state || '' = 'PENDING'",
        listed(delivered)
    );
    sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut **tx).await?;
    Ok(())
}

async fn give_up_in_tx(tx: &mut Tx, tried: &Tried, reason: &str) -> Result<(), DbError> {
    let statement = "UPDATE notice SET state = $3, failure = $4
         WHERE id = $1 AND attempts = $2 AND state || '' = 'PENDING'";
    let query = sqlx::query(statement).bind(tried.id).bind(tried.attempt).bind(State::Failed.name()).bind(reason);
    query.execute(&mut **tx).await?;
    Ok(())
}

/// With the reservation's later messages, which cannot go before it and are not to stand in the way of others.
async fn put_off_in_tx(tx: &mut Tx, tried: &Tried, due_at: i64, reason: &str) -> Result<(), DbError> {
    let statement = "UPDATE notice SET due_at = $3, failure = $4
         WHERE id = $1 AND attempts = $2 AND state || '' = 'PENDING'";
    let query = sqlx::query(statement).bind(tried.id).bind(tried.attempt).bind(due_at).bind(reason);
    if query.execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    let statement = "UPDATE notice SET due_at = $3
         WHERE reservation_id = $1 AND id + 0 > $2 AND due_at < $3 AND state || '' = 'PENDING'";
    sqlx::query(statement).bind(tried.reservation_id).bind(tried.id).bind(due_at).execute(&mut **tx).await?;
    Ok(())
}

/// The reservation's later messages, which are as due as they were when they were written.
async fn bring_forward_in_tx(tx: &mut Tx, tried: &Tried) -> Result<(), DbError> {
    let statement = "UPDATE notice SET due_at = created_at
         WHERE reservation_id = $1 AND id + 0 > $2 AND attempts = 0 AND state || '' = 'PENDING'";
    sqlx::query(statement).bind(tried.reservation_id).bind(tried.id).execute(&mut **tx).await?;
    Ok(())
}

/// What is due later than any wait may last was written by a clock that was ahead: it is due now.
pub async fn recall(db: &Db, now_ms: i64, latest_ms: i64) -> Result<(), DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            let statement = "UPDATE notice SET due_at = $1 WHERE state = 'PENDING' AND due_at > $2";
            sqlx::query(statement).bind(now_ms).bind(latest_ms).execute(&mut **tx).await?;
            Ok(())
        })
    })
    .await
}
