//! What reservation's events mean for the visits, and the events that diagnosis publishes itself.

use std::sync::Arc;

use chassis::events::outbox::{self, NewEvent};
use chassis::events::{Handler, HandlerError, Message};
use chassis::{DbError, Tx};
use contracts::Event;
use contracts::events::{ReservationEvent, TIMESTAMP, TreatmentEvent};
use jiff::Timestamp;

use crate::date::VisitDate;
use crate::domain::{Record, Visit};
use crate::{App, cancel, change, confirm};

pub fn handler(app: App) -> Handler {
    Arc::new(move |tx, message| {
        let app = app.clone();
        Box::pin(async move { take_in_tx(tx, &app, message).await })
    })
}

async fn take_in_tx(tx: &mut Tx, app: &App, message: &Message) -> Result<(), HandlerError> {
    let event: Event = message.json()?;
    let now = app.clock.now();
    match event {
        Event::ReservationReserved(event) => {
            let visit = Visit::unasked(id_of(&event)?, date_of(app, &event), event.customer_id.clone(), &app.treatment);
            confirm::confirm_in_tx(tx, app, &visit, now).await?;
        }
        Event::ReservationChanged(event) | Event::ReservationChangeAbandoned(event) => {
            let date = date_of(app, &event);
            change::settle_in_tx(tx, id_of(&event)?, date.as_ref(), event.change_number, now).await?;
        }
        Event::ReservationCanceled(event) => {
            cancel::cancel_in_tx(tx, id_of(&event)?, event.customer_id.as_deref(), now).await?;
        }
        // Our own, or those of another diagnosis beside us; and what follows from them.
        Event::Treated(_)
        | Event::TreatmentCanceled(_)
        | Event::TreatmentFeeBilled(_)
        | Event::TreatmentFeeAccepted(_)
        | Event::TreatmentFeeCanceled(_)
        | Event::Unknown => {}
    }
    Ok(())
}

fn id_of(event: &ReservationEvent) -> Result<i64, HandlerError> {
    event.id.ok_or_else(|| HandlerError::Poison("the event does not say which reservation it is about".to_owned()))
}

fn date_of(app: &App, event: &ReservationEvent) -> Option<VisitDate> {
    event.reservation_date.as_deref().map(|text| VisitDate::as_written(text, &app.clinic.time_zone))
}

pub async fn publish_treated_in_tx(tx: &mut Tx, record: &Record, now: Timestamp) -> Result<(), DbError> {
    publish_in_tx(tx, record, &Event::Treated(about(record, now)), now).await
}

pub async fn publish_canceled_in_tx(tx: &mut Tx, record: &Record, now: Timestamp) -> Result<(), DbError> {
    publish_in_tx(tx, record, &Event::TreatmentCanceled(about(record, now)), now).await
}

fn about(record: &Record, now: Timestamp) -> TreatmentEvent {
    TreatmentEvent {
        timestamp: Some(now.strftime(TIMESTAMP).to_string()),
        id: Some(record.id),
        reservation_id: Some(record.reservation_id),
        doctor: Some(record.doctor.clone()),
        treatment: Some(record.treatment.clone()),
        customer_id: record.customer_id.clone(),
    }
}

/// The record has counted this event already.
async fn publish_in_tx(tx: &mut Tx, record: &Record, event: &Event, now: Timestamp) -> Result<(), DbError> {
    let payload = serde_json::to_string(event).map_err(|error| DbError::Corrupt(error.to_string()))?;
    let event =
        NewEvent { event_type: event.name(), key: record.reservation_id.to_string(), sequence: record.events, payload };
    outbox::append_in_tx(tx, &event, now.as_millisecond()).await
}
