//! Accepting a visit: held once a reservation, or refused with the clinic's reason.

use chassis::Tx;
use chassis::failpoint::crash_point;
use chassis::http::extract::Deadline;
use jiff::Timestamp;

use crate::config::Clinic;
use crate::date::VisitDate;
use crate::domain::{Record, State, Visit};
use crate::error::Error;
use crate::{App, capacity, store};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    Now(Record),
    /// By an earlier request, of which this is a repetition.
    Before(Record),
}

pub async fn accept(app: &App, visit: Visit, deadline: Deadline) -> Result<Accepted, Error> {
    let drawn = app.treatment.simulated_time.draw();
    if !drawn.is_zero() {
        // A load test reckons from it what could be reached at best.
        metrics::histogram!("treatment_simulated_seconds").record(drawn);
        tokio::time::sleep(drawn).await;
    }
    still_wanted(deadline)?;
    let (clinic, now) = (app.clinic.clone(), app.clock.now());
    let judged = app.db.write(move |tx| {
        Box::pin(async move {
            // Again: it may have waited for its transaction.
            still_wanted(deadline)?;
            accept_in_tx(tx, &clinic, &visit, now).await
        })
    });
    crash_point("accept.before-write");
    let judged = judged.await;
    crash_point("accept.after-write");
    judged?.map_err(Error::Refused)
}

fn still_wanted(deadline: Deadline) -> Result<(), Error> {
    if deadline.has_passed() { Err(Error::TooLate) } else { Ok(()) }
}

/// The inner error is the clinic's refusal. It is committed: an earlier try of the same request that comes late
/// must not be accepted after its caller was refused.
async fn accept_in_tx(
    tx: &mut Tx,
    clinic: &Clinic,
    visit: &Visit,
    now: Timestamp,
) -> Result<Result<Accepted, String>, Error> {
    let Some(record) = store::hold_in_tx(tx, visit, now.as_millisecond()).await? else {
        return accepted_before_in_tx(tx, clinic, visit).await.map(Ok);
    };
    let Some(date) = &visit.date else { return Ok(Ok(Accepted::Now(record))) };
    let refusal = match clinic.refuses(date, now) {
        Some(reason) => Some(reason),
        None => capacity::lacking_in_tx(tx, clinic, date).await?,
    };
    if let Some(reason) = refusal {
        store::refuse_in_tx(tx, visit.reservation_id, &reason).await?;
        return Ok(Err(reason));
    }
    Ok(Ok(Accepted::Now(record)))
}

/// A repetition is not judged again: what was promised stands, even if the clinic has filled up since.
async fn accepted_before_in_tx(tx: &mut Tx, clinic: &Clinic, visit: &Visit) -> Result<Accepted, Error> {
    let record = store::lock_in_tx(tx, visit.reservation_id).await?.ok_or(Error::NotFound)?;
    if let Some(reason) = record.refusal {
        return Err(Error::Refused(reason));
    }
    if record.state == State::Canceled {
        return Err(Error::Canceled);
    }
    if let (Some(asked), Some(held)) = (&visit.date, &record.reservation_date)
        && asked.when != VisitDate::as_written(held, &clinic.time_zone).when
    {
        return Err(Error::Refused(format!("The visit is held for {held} already.")));
    }
    Ok(Accepted::Before(record))
}
