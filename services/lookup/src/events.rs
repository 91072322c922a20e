//! What the other services publish, folded into the view.

use std::sync::Arc;

use chassis::Tx;
use chassis::events::{Handler, HandlerError, Message};
use contracts::Event;

use crate::{domain, store};

pub fn handler() -> Handler {
    Arc::new(|tx, message| Box::pin(handle_in_tx(tx, message)))
}

async fn handle_in_tx(tx: &mut Tx, message: &Message) -> Result<(), HandlerError> {
    let event: Event = message.json()?;
    if event == Event::Unknown {
        return Ok(());
    }
    let reservation_id =
        event.reservation_id().ok_or_else(|| HandlerError::Poison(format!("{} names no reservation", event.name())))?;

    let mut stats = store::lock_in_tx(tx, reservation_id).await?;
    let before = (stats.version > 0).then_some(stats.state);
    let entry = domain::apply(&mut stats, &event, domain::happened_at(&event, message.header("ce_time")));
    store::update_in_tx(tx, &stats).await?;
    store::append_history_in_tx(tx, &entry).await?;
    store::count_in_tx(tx, i64::from(message.partition), before, stats.state).await?;
    Ok(())
}
