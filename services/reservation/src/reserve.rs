//! Reserve: only what diagnosis has durably accepted is acknowledged.
//!
//! A short transaction writes it down as pending, diagnosis is asked without one, and a second transaction
//! settles it. All of it runs in a task of its own, to its end, also when the client has gone.

use axum::http::StatusCode;
use chassis::failpoint::crash_point;
use chassis::http::extract::etag;
use chassis::http::hal::{self, Origin};
use chassis::http::idempotency::{self, Begun, IdempotencyKey, StoredAnswer};
use chassis::http::problem::Problem;
use chassis::{DbError, Tx};
use contracts::Event;

use crate::diagnosis::Verdict;
use crate::domain::{Details, Reservation, State};
use crate::error::Error;
use crate::http::{RESERVATION, ReservationBody};
use crate::store::Patience;
use crate::{App, events, store};

/// The reconciler leaves a question alone for as long as whoever asked it may still be waiting.
const SETTLE_AFTER_MS: i64 = 4_000;
/// And gives up in time for the promise of 30 s.
const DECIDE_AFTER_MS: i64 = 20_000;

pub fn patience(now_ms: i64) -> Patience {
    Patience { settle_after: now_ms + SETTLE_AFTER_MS, decide_by: now_ms + DECIDE_AFTER_MS }
}

pub struct Request {
    pub details: Details,
    pub customer_id: String,
    pub key: Option<IdempotencyKey>,
    pub origin: Origin,
}

pub async fn reserve(app: App, request: Request) -> Result<StoredAnswer, Error> {
    let origin = request.origin.clone();
    let leave = app.diagnosis.leave();
    // A refusal must cost less than what it saves. Only who brings a key may have been answered before.
    if leave.is_err() && request.key.is_none() {
        return Err(Error::DiagnosisUnavailable);
    }
    let pending = match begin(&app, request).await? {
        Begin::Answered(answer) => return Ok(answer),
        Begin::Pending(pending) => pending,
    };
    crash_point("reserve.after-begin");
    let verdict = app.diagnosis.hold_visit(leave, &pending).await;
    crash_point("reserve.before-settle");
    let settled = settle(&app, &pending, verdict, &origin).await;
    crash_point("reserve.after-settle");
    count(&settled);
    match settled {
        // It is written down as pending: what becomes of it the reconciler decides.
        Err(Error::Db(error)) => {
            tracing::warn!(%error, reservation.id = pending.id, "not settled yet; the reconciler goes on");
            Ok(accepted(&origin, &pending))
        }
        settled => settled,
    }
}

/// What became of a question to diagnosis, told after its commit.
pub fn count(settled: &Result<StoredAnswer, Error>) {
    let outcome = match settled {
        Ok(answer) if answer.status == StatusCode::ACCEPTED => "unanswered",
        Ok(_) => "reserved",
        Err(Error::Refused(_)) => "rejected",
        Err(Error::CanceledMeanwhile) => "canceled",
        Err(Error::DiagnosisUnavailable) => "withdrawn",
        Err(_) => "failed",
    };
    metrics::counter!("reservations_settled_total", "outcome" => outcome).increment(1);
}

enum Begin {
    Pending(Reservation),
    Answered(StoredAnswer),
}

async fn begin(app: &App, request: Request) -> Result<Begin, Error> {
    let now_ms = app.clock.now_ms();
    app.db
        .write(move |tx| {
            Box::pin(async move {
                if let Some(key) = &request.key {
                    match idempotency::begin_in_tx(tx, key, now_ms).await? {
                        Begun::First => {}
                        Begun::Answered(answer) => return Ok(Begin::Answered(answer)),
                        Begun::Refused(problem) => return Err(Error::IdempotencyKey(problem)),
                    }
                }
                let key = request.key.as_ref().map(|key| key.key.as_str());
                let pending = store::insert_pending_in_tx(
                    tx,
                    &request.details,
                    &request.customer_id,
                    key,
                    patience(now_ms),
                    now_ms,
                )
                .await?;
                Ok(Begin::Pending(pending))
            })
        })
        .await
}

async fn settle(app: &App, pending: &Reservation, verdict: Verdict, origin: &Origin) -> Result<StoredAnswer, Error> {
    let (app, origin, asked) = (app.clone(), origin.clone(), pending.clone());
    app.db
        .clone()
        .write(move |tx| {
            Box::pin(async move {
                // Only a settled reservation is deleted, so one that is not there was withdrawn before.
                let Some(reservation) = store::lock_in_tx(tx, asked.id).await? else {
                    return Err(Error::DiagnosisUnavailable);
                };
                let verdict = verdict.unless_asked_again(&asked, &reservation);
                settle_in_tx(tx, &app, reservation, verdict, &origin, Told::Nothing).await
            })
        })
        .await
        .and_then(|settled| settled)
}

/// What the customer has heard so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// His request still waits for its answer.
    Nothing,
    /// That it is being worked on: the end of it must be an event.
    Accepted,
}

/// Settles a locked reservation by what diagnosis said. The inner result is the client's answer; both are
/// committed, the outer error is not.
pub async fn settle_in_tx(
    tx: &mut Tx,
    app: &App,
    mut reservation: Reservation,
    verdict: Verdict,
    origin: &Origin,
    told: Told,
) -> Result<Result<StoredAnswer, Error>, Error> {
    let now_ms = app.clock.now_ms();
    let answer = match (reservation.state, verdict) {
        (State::Reserved, _) => Ok(created(origin, &reservation)),
        (State::Canceled, _) => Err(Error::CanceledMeanwhile),
        (State::Rejected, _) => Err(Error::Refused(reservation.refusal.clone().unwrap_or_default())),
        (State::Pending, Verdict::Unknown) => Ok(accepted(origin, &reservation)),
        (State::Pending, Verdict::NotDone) if told == Told::Nothing => {
            store::delete_in_tx(tx, reservation.id).await?;
            if let Some(key) = &reservation.idempotency_key {
                idempotency::forget_in_tx(tx, &reservation.customer_id, key).await?;
            }
            return Ok(Err(Error::DiagnosisUnavailable));
        }
        (State::Pending, Verdict::NotDone) => Ok(accepted(origin, &reservation)),
        (State::Pending, Verdict::Accepted) => {
            reservation.state = State::Reserved;
            reservation.version += 1;
            events::publish_in_tx(tx, &mut reservation, Event::ReservationReserved, &app.clock).await?;
            Ok(created(origin, &reservation))
        }
        (State::Pending, Verdict::Refused(reason)) => {
            reservation.state = State::Rejected;
            reservation.version += 1;
            reservation.refusal = Some(reason.clone());
            if told == Told::Accepted {
                events::publish_in_tx(tx, &mut reservation, Event::ReservationCanceled, &app.clock).await?;
            }
            Err(Error::Refused(reason))
        }
        (State::Pending, Verdict::Canceled) => {
            give_up_in_tx(tx, app, &mut reservation).await?;
            Err(Error::CanceledMeanwhile)
        }
    };
    answer_key_in_tx(tx, &mut reservation, &answer).await?;
    let still_pending = (reservation.state == State::Pending).then(|| patience_left(&reservation, now_ms));
    store::update_in_tx(tx, &reservation, still_pending, now_ms).await?;
    Ok(answer)
}

/// Nobody knows whether diagnosis holds the visit, and time is up: the cancellation's event releases it.
pub async fn give_up_in_tx(tx: &mut Tx, app: &App, reservation: &mut Reservation) -> Result<(), DbError> {
    reservation.state = State::Canceled;
    reservation.version += 1;
    events::publish_in_tx(tx, reservation, Event::ReservationCanceled, &app.clock).await
}

/// Asked again soon, decided no later than before.
pub fn patience_left(reservation: &Reservation, now_ms: i64) -> Patience {
    let fresh = patience(now_ms);
    Patience { settle_after: fresh.settle_after, decide_by: reservation.decide_by.unwrap_or(fresh.decide_by) }
}

/// The request's key gets its answer once; a later settlement does not change what was said.
pub async fn answer_key_in_tx(
    tx: &mut Tx,
    reservation: &mut Reservation,
    answer: &Result<StoredAnswer, Error>,
) -> Result<(), DbError> {
    let Some(key) = reservation.idempotency_key.take() else { return Ok(()) };
    let answer = match answer {
        Ok(answer) => answer.clone(),
        Err(error) => StoredAnswer::problem(&Problem::from(error)),
    };
    idempotency::finish_in_tx(tx, &reservation.customer_id, &key, &answer).await
}

pub fn created(origin: &Origin, reservation: &Reservation) -> StoredAnswer {
    answer(StatusCode::CREATED, origin, reservation)
}

pub fn accepted(origin: &Origin, reservation: &Reservation) -> StoredAnswer {
    answer(StatusCode::ACCEPTED, origin, reservation)
}

fn answer(status: StatusCode, origin: &Origin, reservation: &Reservation) -> StoredAnswer {
    let item = origin.item(RESERVATION, reservation.id, ReservationBody::from(reservation));
    StoredAnswer::new(status, &hal::MEDIA_TYPE, &item)
        .header("location", origin.href(RESERVATION, reservation.id))
        .header("etag", etag(reservation.version))
}
