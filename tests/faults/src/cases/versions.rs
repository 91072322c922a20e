//! An older version beside this one, as it is during every rollout and after one that is undone.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::kills::failures;
use crate::checker::Invariant;
use crate::clients::Habits;
use crate::trial::Trial;
use crate::world::{Node, WorldError};

const CLIENTS: usize = 8;
/// For a replica that has come to be found, before the next one goes.
const FOUND: Duration = Duration::from_millis(500);
/// For which both versions work side by side.
const TOGETHER: Duration = Duration::from_secs(10);

/// All begin with the older version. One replica of each becomes new, then the other; then they go back in the same
/// two steps. The new version has changed the databases by then, and the older one must start there all the same.
pub async fn side_by_side(trial: &mut Trial) -> Result<(), WorldError> {
    let (new, older) = (trial.world.plan.binaries.clone(), trial.world.plan.older.clone());
    let older = older.ok_or_else(|| WorldError::failed("there is no older version"))?;
    let (first, others) = (0..1, 1..trial.world.plan.replicas);
    for (step, replicas, version) in [
        ("the first replicas became new", &first, &new),
        ("the others became new", &others, &new),
        ("the first replicas went back", &first, &older),
        ("the others went back", &others, &older),
    ] {
        let before = trial.history.next();
        let crowd = trial.crowd(&Habits { impatient: 0, ..Habits::usual(CLIENTS) }).await?;
        roll(trial, replicas, version).await?;
        tokio::time::sleep(TOGETHER).await;
        crowd.leave().await;
        for what in failures(trial, before) {
            trial.violated(Invariant::I11, format!("while {step}, {what}"));
        }
        trial.judge().await?;
    }
    Ok(())
}

/// One process after the other, callers last, as the services are started.
async fn roll(trial: &Trial, replicas: &Range<usize>, version: &Path) -> Result<(), WorldError> {
    for process in Node::SERVICES.iter().flat_map(|node| &trial.world.service(*node)[replicas.clone()]) {
        process.run_from(version);
        process.stop().await?;
        process.start().await?;
        tokio::time::sleep(FOUND).await;
    }
    Ok(())
}
