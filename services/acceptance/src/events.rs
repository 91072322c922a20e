//! What this service hears and what it publishes.

use std::sync::Arc;

use chassis::events::outbox::{self, NewEvent};
use chassis::events::{Handler, HandlerError, Message};
use chassis::{Clock, DbError, Tx};
use contracts::Event;
use contracts::events::{FeeEvent, TIMESTAMP};

use crate::domain::Bill;
use crate::{App, bill, cancel};

pub fn handler(app: &App) -> Handler {
    let app = app.clone();
    Arc::new(move |tx, message| {
        let app = app.clone();
        Box::pin(async move { take_in_tx(tx, &app, message).await })
    })
}

async fn take_in_tx(tx: &mut Tx, app: &App, message: &Message) -> Result<(), HandlerError> {
    let event: Event = message.json()?;
    match &event {
        Event::Treated(treatment) => bill::bill_in_tx(tx, app, reservation_of(&event)?, treatment).await?,
        Event::TreatmentCanceled(_) | Event::ReservationCanceled(_) => {
            cancel::cancel_in_tx(tx, app, reservation_of(&event)?).await?;
        }
        Event::ReservationReserved(_)
        | Event::ReservationChanged(_)
        | Event::ReservationChangeAbandoned(_)
        | Event::TreatmentFeeBilled(_)
        | Event::TreatmentFeeAccepted(_)
        | Event::TreatmentFeeCanceled(_)
        | Event::Unknown => {}
    }
    Ok(())
}

fn reservation_of(event: &Event) -> Result<i64, HandlerError> {
    event.reservation_id().ok_or_else(|| HandlerError::Poison(format!("{} without its reservation", event.name())))
}

/// Publishes the change that has just given a locked bill its version.
pub async fn publish_in_tx(
    tx: &mut Tx,
    bill: &Bill,
    kind: fn(FeeEvent) -> Event,
    clock: &Clock,
) -> Result<(), DbError> {
    let event = kind(FeeEvent {
        timestamp: Some(clock.now().strftime(TIMESTAMP).to_string()),
        id: Some(bill.id),
        reservation_id: Some(bill.reservation_id),
        fee: Some(bill.fee),
        customer_id: bill.customer_id.clone(),
    });
    let event = NewEvent {
        event_type: event.name(),
        key: bill.reservation_id.to_string(),
        sequence: bill.version,
        payload: serde_json::to_string(&event).map_err(|error| DbError::Corrupt(error.to_string()))?,
    };
    outbox::append_in_tx(tx, &event, clock.now_ms()).await
}
