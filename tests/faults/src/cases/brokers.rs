//! The broker is away, or dies.

use std::time::Duration;

use rand::RngExt;

use super::kills::failures;
use crate::checker::Invariant;
use crate::clients::Habits;
use crate::trial::Trial;
use crate::world::{Fault, Node, WorldError};

const CLIENTS: usize = 10;

pub async fn away(trial: &mut Trial) -> Result<(), WorldError> {
    let outages: &[u64] = if trial.is_long { &[5, 300] } else { &[5] };
    for seconds in outages {
        let before = trial.history.next();
        // An outage of minutes is not to fill the machine.
        let pause = Duration::from_millis(20)..Duration::from_millis(if *seconds > 60 { 400 } else { 60 });
        let habits = Habits { impatient: 0, racing: 0, pause, ..Habits::usual(CLIENTS) };
        let crowd = trial.crowd(&habits).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        trial.world.links().filter(|link| link.to == Node::Kafka).for_each(|link| link.set(Fault::Down));
        let reserved = trial.history.reserved();
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        trial.until_reserved(reserved + 1).await;
        if trial.history.reserved() == reserved {
            trial.violated(Invariant::I11, format!("nobody could reserve while the broker was away for {seconds} s"));
        }
        trial.heal();
        crowd.leave().await;
        for what in failures(trial, before) {
            trial.violated(Invariant::I11, format!("while the broker was away for {seconds} s, {what}"));
        }
        trial.judge().await?;
    }
    Ok(())
}

pub async fn killed(trial: &mut Trial) -> Result<(), WorldError> {
    for _ in 0..if trial.is_long { 5 } else { 1 } {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        for _ in 0..4 {
            let pause = Duration::from_millis(trial.rng.random_range(500..3000));
            tokio::time::sleep(pause).await;
            trial.world.broker().kill();
        }
        trial.heal();
        tokio::time::sleep(Duration::from_secs(1)).await;
        trial.judge_after(crowd).await?;
    }
    Ok(())
}
