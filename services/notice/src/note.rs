//! Note: a change of state becomes one message, addressed as soon as it is known to whom.

use chassis::{DbError, Tx};

use crate::domain::NewNotice;
use crate::events::News;
use crate::{App, store};

/// A change that was heard of, and which event said so.
pub struct Change {
    pub reservation_id: i64,
    pub source: String,
    pub sequence: i64,
    pub news: News,
}

pub async fn note_in_tx(tx: &mut Tx, app: &App, change: Change) -> Result<(), DbError> {
    let Change { reservation_id, source, sequence, news } = change;
    let now_ms = app.clock.now_ms();
    // Holds the reservation's row, so that a message and its late recipient do not miss each other.
    let recipient = store::know_in_tx(tx, reservation_id, &news.recipient).await?;
    if let Some(kind) = news.kind {
        let text = app.templates.open_text(kind, news.doctor.as_deref(), news.fee);
        let new = NewNotice { reservation_id, kind, source, sequence, text };
        store::insert_in_tx(tx, &new, &recipient, now_ms).await?;
    }
    if news.recipient.phone.is_some() {
        store::address_waiting_in_tx(tx, reservation_id, &recipient, now_ms).await?;
    }
    tx.wake_after_commit(&app.bell);
    Ok(())
}
