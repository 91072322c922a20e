//! The reservation is confirmed: its visit may be treated, and by the walk-in policy is so at once.

use chassis::{DbError, Tx};
use jiff::Timestamp;

use crate::config::TreatmentPolicy;
use crate::domain::{Record, Visit};
use crate::{App, events, store};

/// `visit` is what to hold if nobody has asked for it before.
pub async fn confirm_in_tx(tx: &mut Tx, app: &App, visit: &Visit, now: Timestamp) -> Result<(), DbError> {
    let is_treated = app.treatment.policy == TreatmentPolicy::WalkIn;
    let mut confirmed = confirm_held_in_tx(tx, visit, is_treated, now).await?;
    if confirmed.is_none() {
        // Unknown, or confirmed or cancelled before; in the latter cases there is a row, and this changes nothing.
        store::hold_in_tx(tx, visit, now.as_millisecond()).await?;
        confirmed = confirm_held_in_tx(tx, visit, is_treated, now).await?;
    }
    match confirmed {
        Some(record) if is_treated => events::publish_treated_in_tx(tx, &record, now).await,
        Some(_) | None => Ok(()),
    }
}

async fn confirm_held_in_tx(
    tx: &mut Tx,
    visit: &Visit,
    is_treated: bool,
    now: Timestamp,
) -> Result<Option<Record>, DbError> {
    let (date, customer_id) = (visit.date.as_ref(), visit.customer_id.as_deref());
    store::confirm_in_tx(tx, visit.reservation_id, date, customer_id, is_treated, now.as_millisecond()).await
}
