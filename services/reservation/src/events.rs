//! What this service publishes.

use chassis::events::outbox::{self, NewEvent};
use chassis::{Clock, DbError, Tx};
use contracts::Event;
use contracts::events::{ReservationEvent, TIMESTAMP};

use crate::domain::Reservation;

/// Publishes an event of a reservation that this transaction has locked and will write.
pub async fn publish_in_tx(
    tx: &mut Tx,
    reservation: &mut Reservation,
    kind: fn(ReservationEvent) -> Event,
    clock: &Clock,
) -> Result<(), DbError> {
    reservation.events += 1;
    let event = kind(ReservationEvent {
        timestamp: Some(clock.now().strftime(TIMESTAMP).to_string()),
        id: Some(reservation.id),
        reservator_name: Some(reservation.details.name.clone()),
        reservation_date: Some(reservation.details.date.clone()),
        phone_number: Some(reservation.details.phone.clone()),
        customer_id: Some(reservation.customer_id.clone()),
        change_number: (reservation.change_number > 0).then_some(reservation.change_number),
    });
    let event = NewEvent {
        event_type: event.name(),
        key: reservation.id.to_string(),
        sequence: reservation.events,
        payload: serde_json::to_string(&event).map_err(|error| DbError::Corrupt(error.to_string()))?,
    };
    outbox::append_in_tx(tx, &event, clock.now_ms()).await
}
