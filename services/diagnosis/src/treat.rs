//! A vet writes what was found and done.

use chassis::Tx;
use chassis::failpoint::crash_point;
use chassis::http::extract::IfMatch;
use jiff::Timestamp;

use crate::domain::{Findings, Record, State};
use crate::error::Error;
use crate::{App, events, store};

pub async fn treat(app: &App, id: i64, findings: Findings, if_match: IfMatch) -> Result<Record, Error> {
    let now = app.clock.now();
    crash_point("treat.before-write");
    let treated =
        app.db.write(move |tx| Box::pin(async move { treat_in_tx(tx, id, &findings, if_match, now).await })).await;
    crash_point("treat.after-write");
    treated
}

async fn treat_in_tx(
    tx: &mut Tx,
    id: i64,
    findings: &Findings,
    if_match: IfMatch,
    now: Timestamp,
) -> Result<Record, Error> {
    let record = store::lock_by_id_in_tx(tx, id).await?.ok_or(Error::NotFound)?;
    if_match.check(record.version).map_err(|_| Error::Changed)?;
    match record.state {
        State::Canceled => return Err(Error::Canceled),
        State::Scheduled if !record.is_confirmed => return Err(Error::NotConfirmed),
        State::Scheduled | State::Treated => {}
    }
    if findings.is_empty() {
        return Ok(record);
    }
    let treated = store::treat_in_tx(tx, id, findings, now.as_millisecond()).await?;
    if record.state == State::Scheduled {
        events::publish_treated_in_tx(tx, &treated, now).await?;
    }
    Ok(treated)
}
