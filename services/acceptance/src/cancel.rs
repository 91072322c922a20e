//! Cancel: the reservation or its treatment is no more, and so is what was asked or paid for it.

use chassis::{DbError, Tx};
use contracts::Event;

use crate::store::Which;
use crate::{App, events, store};

/// Where there is no bill yet, none will be made.
pub async fn cancel_in_tx(tx: &mut Tx, app: &App, reservation_id: i64) -> Result<(), DbError> {
    let now_ms = app.clock.now_ms();
    if store::forbid_in_tx(tx, reservation_id, now_ms).await? {
        return Ok(());
    }
    let Some(mut bill) = store::lock_in_tx(tx, Which::Reservation(reservation_id)).await? else { return Ok(()) };
    if !bill.cancel(now_ms) {
        return Ok(());
    }
    store::update_in_tx(tx, &bill).await?;
    events::publish_in_tx(tx, &bill, Event::TreatmentFeeCanceled, &app.clock).await
}
