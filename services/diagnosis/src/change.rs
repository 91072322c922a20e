//! A change of date: first both dates are held, then the reservation's event says which it is.

use chassis::failpoint::crash_point;
use chassis::http::extract::Deadline;
use chassis::{DbError, Tx};
use jiff::Timestamp;

use crate::config::Clinic;
use crate::date::VisitDate;
use crate::domain::{Record, State};
use crate::error::Error;
use crate::{App, capacity, store};

/// Holds the visit for another date as well.
pub async fn request(
    app: &App,
    reservation_id: i64,
    date: VisitDate,
    change_number: i64,
    deadline: Deadline,
) -> Result<Record, Error> {
    let (clinic, now) = (app.clinic.clone(), app.clock.now());
    let judged = app.db.write(move |tx| {
        Box::pin(async move {
            if deadline.has_passed() {
                return Err(Error::TooLate);
            }
            request_in_tx(tx, &clinic, reservation_id, &date, change_number, now).await
        })
    });
    crash_point("visit-change.before-write");
    let judged = judged.await;
    crash_point("visit-change.after-write");
    judged?.map_err(Error::Refused)
}

/// The inner error is the clinic's refusal, which is committed: a late try of the same change holds nothing.
async fn request_in_tx(
    tx: &mut Tx,
    clinic: &Clinic,
    reservation_id: i64,
    date: &VisitDate,
    change_number: i64,
    now: Timestamp,
) -> Result<Result<Record, String>, Error> {
    let record = store::lock_in_tx(tx, reservation_id).await?.ok_or(Error::NotFound)?;
    if record.state == State::Canceled {
        return Err(Error::Canceled);
    }
    if change_number <= record.change_number {
        return requested_before_in_tx(tx, clinic, record, date, change_number).await.map(Ok);
    }
    let record = store::request_change_in_tx(tx, reservation_id, change_number, date, now.as_millisecond()).await?;
    let refusal = match clinic.refuses(date, now) {
        Some(reason) => Some(reason),
        None => capacity::lacking_in_tx(tx, clinic, date).await?,
    };
    if let Some(reason) = refusal {
        store::refuse_change_in_tx(tx, reservation_id, change_number).await?;
        return Ok(Err(reason));
    }
    Ok(Ok(record))
}

/// A repeated or late request: fine if the date is held, and otherwise overtaken by what came after it.
async fn requested_before_in_tx(
    tx: &mut Tx,
    clinic: &Clinic,
    record: Record,
    date: &VisitDate,
    change_number: i64,
) -> Result<Record, Error> {
    let requested = store::requested_date_in_tx(tx, record.reservation_id, change_number).await?;
    let is_held = [&requested, &record.reservation_date]
        .into_iter()
        .flatten()
        .any(|held| VisitDate::as_written(held, &clinic.time_zone).when == date.when);
    if !is_held {
        return Err(Error::Refused(format!("Change {change_number} of this reservation has been settled already.")));
    }
    Ok(record)
}

/// The reservation has said which date it is. `change_number` is that of the change which this settles, if any.
pub async fn settle_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    date: Option<&VisitDate>,
    change_number: Option<i64>,
    now: Timestamp,
) -> Result<(), DbError> {
    store::settle_in_tx(tx, reservation_id, date, change_number.unwrap_or(0), now.as_millisecond()).await
}
