//! Bill: each treatment once.

use chassis::{DbError, Tx};
use contracts::Event;
use contracts::events::TreatmentEvent;

use crate::domain::NewBill;
use crate::{App, events, store};

/// A treatment that was billed or cancelled before is not billed (again).
pub async fn bill_in_tx(
    tx: &mut Tx,
    app: &App,
    reservation_id: i64,
    treatment: &TreatmentEvent,
) -> Result<(), DbError> {
    let new = NewBill {
        reservation_id,
        customer_id: treatment.customer_id.clone(),
        treatment: treatment.treatment.clone(),
        fee: app.fees.fee(treatment.treatment.as_deref()),
    };
    let Some(bill) = store::insert_in_tx(tx, &new, app.clock.now_ms()).await? else { return Ok(()) };
    events::publish_in_tx(tx, &bill, Event::TreatmentFeeBilled, &app.clock).await
}
