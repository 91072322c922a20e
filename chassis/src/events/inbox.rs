//! Recognises what was taken in before: a stream's place only rises, and it rises with the effect's commit.

use super::message::Message;
use crate::{DbError, Tx};

/// Moves the stream's place to this message. `false`: it was there already, so this one is a repetition.
pub async fn advance_in_tx(tx: &mut Tx, message: &Message) -> Result<bool, DbError> {
    let (source, key, sequence) = message.position();
    let moved = sqlx::query(
        "INSERT INTO inbox (source, message_key, sequence) VALUES ($1, $2, $3)
         ON CONFLICT (source, message_key) DO UPDATE SET sequence = excluded.sequence
         WHERE inbox.sequence < excluded.sequence",
    )
    .bind(source)
    .bind(key)
    .bind(sequence)
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}
