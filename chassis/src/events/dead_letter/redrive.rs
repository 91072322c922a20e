//! Processes parked messages again, each key in its order. It may run beside the consumer, and twice at once: a
//! message is taken out in the transaction of its effect, and the consumer waits for whatever is being taken out.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeadLetter, PAGE, list, take_in_tx};
use crate::events::consumer::{Handler, handle};
use crate::events::message::HandlerError;
use crate::failpoint::crash_point;
use crate::http::problem::chain;
use crate::{Db, DbError};

/// What a redrive did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redriven {
    pub processed: u64,
    pub still_parked: u64,
}

/// Which messages are processed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    Key(String),
    /// A message and those of its key that came before it.
    UpTo(DeadLetter),
}

impl Which {
    fn key(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Key(key) => Some(key),
            Self::UpTo(letter) => Some(&letter.key),
        }
    }

    fn includes(&self, letter: &DeadLetter) -> bool {
        !matches!(self, Self::UpTo(last) if letter.id > last.id)
    }
}

/// A key stops at its first failure. What is parked behind it meanwhile is done as well.
pub async fn redrive(db: &Db, handler: &Handler, which: &Which) -> Result<Redriven, DbError> {
    let (mut outcome, mut failed, mut after) = (Redriven::default(), HashSet::new(), 0);
    loop {
        let mut page = list(db, which.key(), after, PAGE).await?;
        page.retain(|letter| which.includes(letter));
        let Some(last) = page.last() else { return Ok(outcome) };
        after = last.id;
        for letter in page {
            if failed.contains(&letter.key) {
                outcome.still_parked += 1;
                continue;
            }
            crash_point("redrive.before-write");
            let redriven = redrive_one(db, handler, letter.id).await;
            crash_point("redrive.after-write");
            match redriven {
                Ok(is_done) => outcome.processed += u64::from(is_done),
                Err(HandlerError::Db(error)) if error.is_transient() => return Err(error),
                Err(error) => {
                    note_failure(db, letter.id, chain(&error)).await?;
                    failed.insert(letter.key);
                    outcome.still_parked += 1;
                }
            }
        }
    }
}

/// `false`: somebody else has processed or discarded it meanwhile.
async fn redrive_one(db: &Db, handler: &Handler, id: i64) -> Result<bool, HandlerError> {
    let handler = handler.clone();
    db.write(move |tx| {
        Box::pin(async move {
            let Some(message) = take_in_tx(tx, id).await? else { return Ok(false) };
            handle(tx, &handler, &message).await?;
            Ok(true)
        })
    })
    .await
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
