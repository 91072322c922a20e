//! What this service hears of.

use std::sync::Arc;

use chassis::Tx;
use chassis::events::{Handler, HandlerError, Message};
use contracts::Event;
use contracts::events::{FeeEvent, ReservationEvent};

use crate::App;
use crate::domain::{Kind, Recipient};
use crate::note::{Change, note_in_tx};

pub fn handler(app: &App) -> Handler {
    let app = app.clone();
    Arc::new(move |tx, message| {
        let app = app.clone();
        Box::pin(async move { take_in_tx(tx, &app, message).await })
    })
}

async fn take_in_tx(tx: &mut Tx, app: &App, message: &Message) -> Result<(), HandlerError> {
    let event: Event = message.json()?;
    let Some(news) = news(&event) else { return Ok(()) };
    let reservation_id = event
        .reservation_id()
        .ok_or_else(|| HandlerError::Poison(format!("{} without its reservation", event.name())))?;
    let (source, _, sequence) = message.position();
    note_in_tx(tx, app, Change { reservation_id, source, sequence, news }).await?;
    Ok(())
}

/// What an event says that matters here.
#[derive(Default)]
pub struct News {
    /// What the customer is told; `None`: nothing.
    pub kind: Option<Kind>,
    pub recipient: Recipient,
    pub doctor: Option<String>,
    pub fee: Option<i64>,
}

fn news(event: &Event) -> Option<News> {
    let reservation = |kind: Option<Kind>, event: &ReservationEvent| {
        Some(News { kind, recipient: recipient(event), ..News::default() })
    };
    let owner = |customer_id: &Option<String>| Recipient { customer_id: customer_id.clone(), ..Recipient::default() };
    let fee = |kind: Kind, event: &FeeEvent| {
        Some(News { kind: Some(kind), recipient: owner(&event.customer_id), doctor: None, fee: event.fee })
    };
    match event {
        Event::ReservationReserved(event) => reservation(Some(Kind::ReservationReserved), event),
        Event::ReservationChanged(event) => reservation(Some(Kind::ReservationChanged), event),
        Event::ReservationCanceled(event) => reservation(Some(Kind::ReservationCanceled), event),
        // Nothing has changed for the customer, but it says once more who he is.
        Event::ReservationChangeAbandoned(event) => reservation(None, event),
        Event::Treated(event) => Some(News {
            kind: Some(Kind::Treated),
            recipient: owner(&event.customer_id),
            doctor: event.doctor.clone(),
            fee: None,
        }),
        Event::TreatmentFeeBilled(event) => fee(Kind::TreatmentFeeBilled, event),
        Event::TreatmentFeeAccepted(event) => fee(Kind::TreatmentFeeAccepted, event),
        Event::TreatmentFeeCanceled(event) => fee(Kind::TreatmentFeeCanceled, event),
        // The reservation's own cancellation is what the customer is told.
        Event::TreatmentCanceled(_) | Event::Unknown => None,
    }
}

fn recipient(event: &ReservationEvent) -> Recipient {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    Recipient {
        customer_id: given(&event.customer_id),
        name: given(&event.reservator_name),
        phone: given(&event.phone_number),
        reservation_date: given(&event.reservation_date),
    }
}
