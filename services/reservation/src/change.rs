//! Change: a new date asks diagnosis first, as a reservation does; everything else is changed at once.

use chassis::failpoint::crash_point;
use chassis::http::extract::IfMatch;
use chassis::{Caller, DbError, Tx};
use contracts::Event;

use crate::diagnosis::Verdict;
use crate::domain::{Given, Reservation, State};
use crate::error::Error;
use crate::http::may_see;
use crate::reserve::{patience, patience_left};
use crate::{App, events, store};

pub struct Request {
    pub id: i64,
    pub given: Given,
    pub if_match: IfMatch,
    pub caller: Caller,
}

/// How far a change has come.
#[derive(Debug)]
pub enum Changed {
    Done(Reservation),
    /// Diagnosis's answer is not known yet; the reconciler goes on.
    Accepted(Reservation),
}

/// Runs to its end in a task of its own, also when the client has gone.
pub async fn change(app: App, request: Request) -> Result<Changed, Error> {
    let reservation = begin(&app, request).await?;
    let Some(requested) = &reservation.requested else { return Ok(Changed::Done(reservation)) };
    crash_point("change.after-begin");
    let verdict = app.diagnosis.hold_other_date(reservation.id, &requested.date, reservation.change_number).await;
    crash_point("change.before-settle");
    let settled = settle(&app, &reservation, verdict).await;
    crash_point("change.after-settle");
    match settled {
        Err(Error::Db(error)) => {
            tracing::warn!(%error, reservation.id = reservation.id, "a change is not settled yet; the reconciler goes on");
            Ok(Changed::Accepted(reservation))
        }
        settled => settled,
    }
}

/// Applies what needs no asking; what does is written down as requested.
async fn begin(app: &App, request: Request) -> Result<Reservation, Error> {
    let (clock, now_ms) = (app.clock.clone(), app.clock.now_ms());
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let found = store::lock_in_tx(tx, request.id).await?;
                let mut reservation = found.filter(|found| may_see(&request.caller, found)).ok_or(Error::NotFound)?;
                request.if_match.check(reservation.version).map_err(Error::Stale)?;
                if reservation.state != State::Reserved {
                    return Err(Error::NotChangeable(reservation.state.name()));
                }
                if reservation.requested.is_some() {
                    return Err(Error::ChangeInProgress);
                }
                let details = request.given.applied_to(&reservation.details).map_err(Error::Invalid)?;
                if details == reservation.details {
                    return Ok(reservation);
                }
                if details.date != reservation.details.date {
                    reservation.requested = Some(details);
                    reservation.change_number += 1;
                    let patience = patience(now_ms);
                    reservation.settle_after = Some(patience.settle_after);
                    store::update_in_tx(tx, &reservation, Some(patience), now_ms).await?;
                    return Ok(reservation);
                }
                reservation.details = details;
                reservation.version += 1;
                events::publish_in_tx(tx, &mut reservation, Event::ReservationChanged, &clock).await?;
                store::update_in_tx(tx, &reservation, None, now_ms).await?;
                Ok(reservation)
            })
        })
        .await
}

async fn settle(app: &App, asked: &Reservation, verdict: Verdict) -> Result<Changed, Error> {
    let (app, asked) = (app.clone(), asked.clone());
    app.db
        .clone()
        .write(move |tx| {
            Box::pin(async move {
                let reservation = store::lock_in_tx(tx, asked.id).await?.ok_or(Error::NotFound)?;
                let verdict = verdict.unless_asked_again(&asked, &reservation);
                Ok::<_, Error>(settle_in_tx(tx, &app, reservation, asked.change_number, verdict).await?)
            })
        })
        .await
        .and_then(|settled| settled)
}

/// Settles a locked reservation's change by what diagnosis said. The inner result is the client's answer;
/// both are committed, the outer error is not.
pub async fn settle_in_tx(
    tx: &mut Tx,
    app: &App,
    mut reservation: Reservation,
    change_number: i64,
    verdict: Verdict,
) -> Result<Result<Changed, Error>, DbError> {
    if reservation.state != State::Reserved {
        return Ok(Err(Error::CanceledMeanwhile));
    }
    // Someone else has settled it: the state of things is the answer.
    let is_still_asked = reservation.requested.is_some() && reservation.change_number == change_number;
    if !is_still_asked {
        return Ok(Ok(Changed::Done(reservation)));
    }
    let now_ms = app.clock.now_ms();
    if verdict == Verdict::Unknown {
        store::update_in_tx(tx, &reservation, Some(patience_left(&reservation, now_ms)), now_ms).await?;
        return Ok(Ok(Changed::Accepted(reservation)));
    }
    let requested = reservation.requested.take();
    let outcome = match verdict {
        Verdict::Accepted => {
            reservation.details = requested.unwrap_or_else(|| reservation.details.clone());
            reservation.version += 1;
            events::publish_in_tx(tx, &mut reservation, Event::ReservationChanged, &app.clock).await?;
            None
        }
        Verdict::Refused(reason) => Some(Error::Refused(reason)),
        Verdict::Canceled => Some(Error::CanceledMeanwhile),
        Verdict::NotDone | Verdict::Unknown => Some(Error::DiagnosisUnavailable),
    };
    store::update_in_tx(tx, &reservation, None, now_ms).await?;
    Ok(match outcome {
        Some(error) => Err(error),
        None => Ok(Changed::Done(reservation)),
    })
}

/// Time is up and diagnosis may hold the new date: the event tells it to let go.
pub async fn give_up_in_tx(tx: &mut Tx, app: &App, reservation: &mut Reservation) -> Result<(), DbError> {
    reservation.requested = None;
    events::publish_in_tx(tx, reservation, Event::ReservationChangeAbandoned, &app.clock).await?;
    store::update_in_tx(tx, reservation, None, app.clock.now_ms()).await
}
