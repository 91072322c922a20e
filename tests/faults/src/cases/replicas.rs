//! Replicas that come, go, or stand still and believe themselves in charge.

use std::time::Duration;

use rand::RngExt;

use crate::clients::Habits;
use crate::trial::Trial;
use crate::world::{Node, Process, WorldError};

const CLIENTS: usize = 10;
/// Longer than a relay's lease and a consumer's session last.
const STANDSTILL: Duration = Duration::from_secs(13);

pub async fn relay_paused(trial: &mut Trial) -> Result<(), WorldError> {
    standstill(trial, &Node::PUBLISHERS).await
}

pub async fn consumer_paused(trial: &mut Trial) -> Result<(), WorldError> {
    standstill(trial, &Node::CONSUMERS).await
}

/// One replica of each stands still; the others, where there are any, take over meanwhile.
async fn standstill(trial: &mut Trial, nodes: &[Node]) -> Result<(), WorldError> {
    for _ in 0..if trial.is_long { 4 } else { 1 } {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let chosen: Vec<Process> = nodes
            .iter()
            .map(|node| {
                let replicas = trial.world.service(*node);
                replicas[trial.rng.random_range(0..replicas.len())].clone()
            })
            .collect();
        chosen.iter().for_each(Process::pause);
        tokio::time::sleep(STANDSTILL).await;
        chosen.iter().for_each(Process::resume);
        tokio::time::sleep(Duration::from_secs(1)).await;
        crowd.leave().await;
        trial.judge().await?;
    }
    Ok(())
}

pub async fn leader_killed(trial: &mut Trial) -> Result<(), WorldError> {
    let changes_wanted = if trial.is_long { 20 } else { 4 };
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    let first = epoch(trial).await?;
    let mut kills = 0;
    while epoch(trial).await? < first + changes_wanted && kills < changes_wanted * 6 {
        let replicas = trial.world.service(Node::Reservation);
        let process = &replicas[kills as usize % replicas.len()];
        process.kill();
        kills += 1;
        // Nobody knows who leads but the lease; it ends 10 s after its holder.
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    crowd.leave().await;
    let changes = epoch(trial).await? - first;
    trial.note(format!("the lead changed hands {changes} times in {kills} kills"));
    trial.judge().await?;
    Ok(())
}

async fn epoch(trial: &Trial) -> Result<i64, WorldError> {
    let pool = trial.world.database(Node::Reservation).await?;
    let (epoch,) = sqlx::query_as("SELECT epoch FROM relay_lease WHERE id = 1").fetch_one(&pool).await?;
    Ok(epoch)
}

pub async fn scaled(trial: &mut Trial) -> Result<(), WorldError> {
    for _ in 0..if trial.is_long { 4 } else { 1 } {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        let spare: Vec<Process> =
            Node::CONSUMERS.iter().flat_map(|node| trial.world.service(*node)[1..].to_vec()).collect();
        for process in &spare {
            process.stop().await?;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        for process in &spare {
            process.start().await?;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        crowd.leave().await;
        trial.judge().await?;
    }
    Ok(())
}
