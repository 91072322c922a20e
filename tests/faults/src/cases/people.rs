//! Clients that change their minds, lose patience, or are too many.

use std::time::Duration;

use crate::clients::Habits;
use crate::trial::Trial;
use crate::world::WorldError;

pub async fn cancel_races(trial: &mut Trial) -> Result<(), WorldError> {
    work(trial, Habits { racing: 70, impatient: 0, ..Habits::usual(16) }).await
}

pub async fn leave(trial: &mut Trial) -> Result<(), WorldError> {
    work(trial, Habits { impatient: 70, racing: 0, ..Habits::usual(16) }).await
}

pub async fn overload(trial: &mut Trial) -> Result<(), WorldError> {
    let pause = Duration::ZERO..Duration::from_millis(1);
    work(trial, Habits { pause, ..Habits::usual(150) }).await
}

async fn work(trial: &mut Trial, habits: Habits) -> Result<(), WorldError> {
    let time = Duration::from_secs(if trial.is_long { 20 } else { 5 });
    let crowd = trial.crowd(&habits).await?;
    tokio::time::sleep(time).await;
    trial.judge_after(crowd).await
}
