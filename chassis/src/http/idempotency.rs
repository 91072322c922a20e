//! `Idempotency-Key`: a repeated request gets the first answer again, byte for byte.
//!
//! The key is taken in the transaction that begins the work and answered in the one that ends it, so a crash
//! between the two leaves it marked as being worked on, never free.

use std::convert::Infallible;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::problem::{Problem, chain};
use crate::{Caller, Chassis, Db, DbError, Tx};

pub const HEADER: &str = "idempotency-key";
const MAX_LENGTH: usize = 255;
/// How long an answer is kept.
const KEEP_MS: i64 = 24 * 60 * 60 * 1000;
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);

/// The header's value, if the client sent one.
pub struct IdempotencyHeader(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(HEADER) else { return Ok(Self(None)) };
        let key = value.to_str().unwrap_or_default().trim();
        if key.is_empty() || key.len() > MAX_LENGTH {
            return Err(Problem::bad_request(format!(
                "Idempotency-Key must be 1 to {MAX_LENGTH} printable characters."
            )));
        }
        Ok(Self(Some(key.to_owned())))
    }
}

/// A key together with whose it is and what it was used for.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    pub caller: String,
    pub key: String,
    pub fingerprint: String,
}

impl IdempotencyHeader {
    /// `operation` and `body` are what the key may not be used for twice with a difference.
    pub fn bind(self, caller: &Caller, operation: &str, body: &impl Serialize) -> Option<IdempotencyKey> {
        let key = self.0?;
        let body = serde_json::to_string(body).unwrap_or_default();
        let digest = digest::digest(&digest::SHA256, format!("{operation}\n{body}").as_bytes());
        Some(IdempotencyKey { caller: caller.subject.to_string(), key, fingerprint: STANDARD.encode(digest) })
    }
}

/// An answer as it was first given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: StatusCode,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl StoredAnswer {
    pub fn new(status: StatusCode, content_type: &HeaderValue, body: &impl Serialize) -> Self {
        let content_type = content_type.to_str().unwrap_or_default().to_owned();
        let body = serde_json::to_string(body).unwrap_or_default();
        Self { status, headers: vec![("content-type".to_owned(), content_type)], body }
    }

    pub fn header(mut self, name: &str, value: String) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }

    pub fn problem(problem: &Problem) -> Self {
        Self::new(problem.status, &super::problem::MEDIA_TYPE, &problem.body)
    }
}

impl IntoResponse for StoredAnswer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// What a key was found to be.
#[derive(Debug)]
pub enum Begun {
    /// New: do the work.
    First,
    /// Answered before: say it again.
    Answered(StoredAnswer),
    /// The first request is still at it, or the key was used for something else.
    Refused(Problem),
}

pub async fn begin_in_tx(tx: &mut Tx, key: &IdempotencyKey, now_ms: i64) -> Result<Begun, DbError> {
    let taken = sqlx::query(
        "INSERT INTO idempotency (caller, request_key, fingerprint, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (caller, request_key) DO NOTHING",
    )
    .bind(&key.caller)
    .bind(&key.key)
    .bind(&key.fingerprint)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(Begun::First);
    }
    type Row = (String, Option<i64>, Option<String>, Option<String>);
    let found: Option<Row> = sqlx::query_as(
        "SELECT fingerprint, status, headers, body FROM idempotency WHERE caller = $1 AND request_key = $2",
    )
    .bind(&key.caller)
    .bind(&key.key)
    .fetch_optional(&mut **tx)
    .await?;
    // It was forgotten between the two statements: whoever repeats finds it free.
    let Some((fingerprint, status, headers, body)) = found else { return Ok(Begun::Refused(in_progress())) };
    if fingerprint != key.fingerprint {
        return Ok(Begun::Refused(
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused")
                .detail("This Idempotency-Key was used for another request."),
        ));
    }
    let (Some(status), Some(headers), Some(body)) = (status, headers, body) else {
        return Ok(Begun::Refused(in_progress()));
    };
    let corrupt = |what: &str| DbError::Corrupt(format!("idempotency.{what}"));
    Ok(Begun::Answered(StoredAnswer {
        status: u16::try_from(status)
            .ok()
            .and_then(|s| StatusCode::from_u16(s).ok())
            .ok_or_else(|| corrupt("status"))?,
        headers: serde_json::from_str(&headers).map_err(|_| corrupt("headers"))?,
        body,
    }))
}

fn in_progress() -> Problem {
    Problem::conflict("request-in-progress", "The first request with this Idempotency-Key is still being worked on.")
        .retry_after(1)
}

pub async fn finish_in_tx(tx: &mut Tx, caller: &str, key: &str, answer: &StoredAnswer) -> Result<(), DbError> {
    let headers = serde_json::to_string(&answer.headers).map_err(|error| DbError::Corrupt(error.to_string()))?;
    sqlx::query("UPDATE idempotency SET status = $1, headers = $2, body = $3 WHERE caller = $4 AND request_key = $5")
        .bind(i64::from(answer.status.as_u16()))
        .bind(headers)
        .bind(&answer.body)
        .bind(caller)
        .bind(key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// For work that left nothing behind: the same key may try again.
pub async fn forget_in_tx(tx: &mut Tx, caller: &str, key: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM idempotency WHERE caller = $1 AND request_key = $2")
        .bind(caller)
        .bind(key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets old answers in the background.
pub fn start_forgetting(chassis: &Chassis, db: &Db) {
    let (clock, lifecycle, db) = (chassis.clock.clone(), chassis.lifecycle.clone(), db.clone());
    chassis.lifecycle.spawn_background("forgetting", async move {
        while !lifecycle.is_stopping() {
            if let Err(error) = prune(&db, clock.now_ms()).await {
                tracing::warn!(error = chain(&error), "old answers are kept for now");
            }
            tokio::select! {
                () = tokio::time::sleep(FORGET_EVERY) => {}
                () = lifecycle.stopping() => {}
            }
        }
        Ok::<(), Infallible>(())
    });
}

/// Forgets answers older than a day.
pub async fn prune(db: &Db, now_ms: i64) -> Result<u64, DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            let pruned = sqlx::query("DELETE FROM idempotency WHERE created_at < $1 AND status IS NOT NULL")
                .bind(now_ms - KEEP_MS)
                .execute(&mut **tx)
                .await?;
            Ok(pruned.rows_affected())
        })
    })
    .await
}
