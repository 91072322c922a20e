//! The reservation is cancelled: its visit ends, or if there is none yet, there never will be one.

use chassis::{DbError, Tx};
use jiff::Timestamp;

use crate::{events, store};

pub async fn cancel_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    customer_id: Option<&str>,
    now: Timestamp,
) -> Result<(), DbError> {
    match store::cancel_in_tx(tx, reservation_id, customer_id, now.as_millisecond()).await? {
        Some(record) => events::publish_canceled_in_tx(tx, &record, now).await,
        None => Ok(()),
    }
}
