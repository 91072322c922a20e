//! Settles what diagnosis has not answered: asks again, and gives up in time, so that nothing stays half made.

use std::convert::Infallible;
use std::time::Duration;

use chassis::DbError;
use chassis::failpoint::crash_point;
use chassis::http::hal::Origin;
use futures_util::future::join_all;

use crate::diagnosis::Verdict;
use crate::domain::{Reservation, State};
use crate::error::Error;
use crate::reserve::Told;
use crate::{App, change, reserve, store};

const EVERY: Duration = Duration::from_secs(1);
/// Asked at the same time: enough that a whole outage's worth is decided in its 30 s.
const AT_ONCE: usize = 256;
/// Longer than one round of asking takes.
const CLAIM_MS: i64 = 4_000;

pub fn start(app: &App) {
    let app = app.clone();
    app.lifecycle.clone().spawn_background("reconciler", async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = app.lifecycle.stopping() => return Ok::<(), Infallible>(()),
            }
            if let Err(error) = settle_waiting(&app).await {
                tracing::warn!(error = chassis::http::problem::chain(&error), "unsettled reservations wait");
            }
        }
    });
}

/// What waits for an answer, and how far beyond its time the oldest is.
pub async fn measure(app: App) {
    let (unsettled, decide_by) = match store::unsettled(&app.db).await {
        Ok(found) => found,
        Err(error) => return tracing::debug!(%error, "unsettled reservations cannot be counted"),
    };
    let overdue_ms = decide_by.map_or(0, |decide_by| (app.clock.now_ms() - decide_by).max(0));
    metrics::gauge!("reservations_unsettled").set(unsettled as f64);
    metrics::gauge!("reservations_overdue_seconds").set(overdue_ms as f64 / 1000.0);
}

pub async fn settle_waiting(app: &App) -> Result<usize, DbError> {
    let mut settled = 0;
    loop {
        let now_ms = app.clock.now_ms();
        let latest_ms = reserve::patience(now_ms).decide_by;
        if app.lifecycle.is_stopping() || !store::any_unsettled(&app.db, now_ms, latest_ms).await? {
            return Ok(settled);
        }
        settled += settle_some(app, now_ms).await?;
    }
}

async fn settle_some(app: &App, now_ms: i64) -> Result<usize, DbError> {
    let latest_ms = reserve::patience(now_ms).decide_by;
    let unsettled = store::claim_unsettled(&app.db, now_ms, now_ms + CLAIM_MS, latest_ms, AT_ONCE as i64).await?;
    crash_point("reconcile.after-claim");
    let outcomes = join_all(unsettled.iter().map(|reservation| settle_one(app, reservation))).await;
    crash_point("reconcile.after-settle");
    for (reservation, outcome) in unsettled.iter().zip(&outcomes) {
        if let Err(error) = outcome {
            tracing::warn!(%error, reservation.id = reservation.id, "not settled yet");
        }
    }
    Ok(unsettled.len())
}

async fn settle_one(app: &App, reservation: &Reservation) -> Result<(), Error> {
    let verdict = match &reservation.requested {
        Some(requested) => {
            app.diagnosis.hold_other_date(reservation.id, &requested.date, reservation.change_number).await
        }
        None => app.diagnosis.hold_visit(app.diagnosis.leave(), reservation).await,
    };
    let (app, id, asked) = (app.clone(), reservation.id, reservation.clone());
    crash_point("reconcile.before-settle");
    let settled = app
        .db
        .clone()
        .write(move |tx| {
            Box::pin(async move {
                let Some(mut reservation) = store::lock_in_tx(tx, id).await? else { return Ok(None) };
                let is_open = matches!(verdict, Verdict::NotDone | Verdict::Unknown);
                let time_is_up = reservation.decide_by.is_some_and(|at| at <= app.clock.now_ms());
                let gives_up = is_open && time_is_up;
                match (reservation.state, asked.requested.is_some()) {
                    (State::Pending, _) if gives_up => {
                        reserve::give_up_in_tx(tx, &app, &mut reservation).await?;
                        let answer = Err(Error::CanceledMeanwhile);
                        reserve::answer_key_in_tx(tx, &mut reservation, &answer).await?;
                        store::update_in_tx(tx, &reservation, None, app.clock.now_ms()).await?;
                        Ok(Some(Err(Error::CanceledMeanwhile)))
                    }
                    (State::Pending, _) => {
                        let origin = Origin::relative();
                        let settled =
                            reserve::settle_in_tx(tx, &app, reservation, verdict, &origin, Told::Accepted).await?;
                        note(id, settled.as_ref().err());
                        Ok(Some(settled))
                    }
                    (State::Reserved, true) if gives_up && reservation.requested.is_some() => {
                        change::give_up_in_tx(tx, &app, &mut reservation).await?;
                        Ok(None)
                    }
                    (State::Reserved, true) => {
                        // Here "not done" is no answer yet: an earlier try may have been heard.
                        let verdict = if is_open { Verdict::Unknown } else { verdict };
                        let settled = change::settle_in_tx(tx, &app, reservation, asked.change_number, verdict).await?;
                        note(id, settled.as_ref().err());
                        Ok(None)
                    }
                    _ => Ok(None),
                }
            })
        })
        .await;
    settled.map(|settled| settled.iter().for_each(reserve::count))
}

fn note(id: i64, ended_with: Option<&Error>) {
    if let Some(error) = ended_with {
        tracing::info!(reservation.id = id, reason = %error, "settled without success");
    }
}
