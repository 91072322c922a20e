//! Cancel: always possible, whatever else is down. The event tells the others.

use chassis::Caller;
use chassis::failpoint::crash_point;
use chassis::http::extract::IfMatch;
use contracts::Event;

use crate::domain::State;
use crate::error::Error;
use crate::http::may_see;
use crate::reserve::answer_key_in_tx;
use crate::{App, events, store};

/// The row stays with its state; cancelling what is cancelled or was rejected changes nothing.
pub async fn cancel(app: &App, id: i64, if_match: IfMatch, caller: Caller) -> Result<(), Error> {
    let (clock, now_ms) = (app.clock.clone(), app.clock.now_ms());
    crash_point("cancel.before-write");
    let canceled = app
        .db
        .write(move |tx| {
            Box::pin(async move {
                let found = store::lock_in_tx(tx, id).await?;
                let mut reservation = found.filter(|found| may_see(&caller, found)).ok_or(Error::NotFound)?;
                if matches!(reservation.state, State::Canceled | State::Rejected) {
                    return Ok(());
                }
                if_match.check(reservation.version).map_err(Error::Stale)?;
                reservation.state = State::Canceled;
                reservation.version += 1;
                reservation.requested = None;
                events::publish_in_tx(tx, &mut reservation, Event::ReservationCanceled, &clock).await?;
                // Whoever reserves it at this moment is told, also if his process dies before it can say so.
                answer_key_in_tx(tx, &mut reservation, &Err(Error::CanceledMeanwhile)).await?;
                store::update_in_tx(tx, &reservation, None, now_ms).await.map_err(Error::from)
            })
        })
        .await;
    crash_point("cancel.after-write");
    canceled
}
