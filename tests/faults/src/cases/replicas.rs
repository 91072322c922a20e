//! Replicas that come, go, or stand still and believe themselves in charge.

use std::time::Duration;

use rand::RngExt;

use crate::clients::{Crowd, Habits};
use crate::trial::Trial;
use crate::world::{Node, Process, WorldError};

const CLIENTS: usize = 10;
/// Longer than a relay's lease and a consumer's session last.
const STANDSTILL: Duration = Duration::from_secs(13);

/// Where there are replicas, the one that leads: another one takes over meanwhile.
pub async fn relay_paused(trial: &mut Trial) -> Result<(), WorldError> {
    let first = epochs(trial).await?;
    for _ in 0..rounds(trial) {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut leaders = Vec::new();
        for node in Node::PUBLISHERS {
            leaders.push(leader(trial, node).await?);
        }
        stand_still(trial, crowd, &leaders).await?;
    }
    if trial.world.plan.replicas > 1 && epochs(trial).await? == first {
        trial.proves_nothing("nobody took over from a relay that stood still");
    }
    Ok(())
}

/// One replica of each stands still; the others, where there are any, take over meanwhile.
pub async fn consumer_paused(trial: &mut Trial) -> Result<(), WorldError> {
    for _ in 0..rounds(trial) {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut chosen = Vec::new();
        for node in Node::CONSUMERS {
            let replica = trial.rng.random_range(0..trial.world.service(node).len());
            chosen.push(trial.world.service(node)[replica].clone());
        }
        stand_still(trial, crowd, &chosen).await?;
    }
    Ok(())
}

fn rounds(trial: &Trial) -> usize {
    if trial.is_long { 4 } else { 1 }
}

async fn stand_still(trial: &mut Trial, crowd: Crowd, chosen: &[Process]) -> Result<(), WorldError> {
    chosen.iter().for_each(Process::pause);
    tokio::time::sleep(STANDSTILL).await;
    chosen.iter().for_each(Process::resume);
    trial.heal();
    tokio::time::sleep(Duration::from_secs(1)).await;
    trial.judge_after(crowd).await
}

/// The replica whose relay publishes; the first where none says so.
async fn leader(trial: &Trial, node: Node) -> Result<Process, WorldError> {
    for process in trial.world.service(node) {
        let metrics = process.metrics().await?;
        if metrics.lines().any(|line| line == "relay_leader 1") {
            return Ok(process.clone());
        }
    }
    Ok(trial.process(node).clone())
}

/// Each rises when another replica takes the lead.
async fn epochs(trial: &Trial) -> Result<Vec<i64>, WorldError> {
    let mut epochs = Vec::new();
    for node in Node::PUBLISHERS {
        epochs.push(epoch(trial, node).await?);
    }
    Ok(epochs)
}

pub async fn leader_killed(trial: &mut Trial) -> Result<(), WorldError> {
    let changes_wanted = if trial.is_long { 20 } else { 4 };
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    let first = epoch(trial, Node::Reservation).await?;
    let mut kills = 0;
    while epoch(trial, Node::Reservation).await? < first + changes_wanted && kills < changes_wanted * 6 {
        let replicas = trial.world.service(Node::Reservation);
        let process = &replicas[kills as usize % replicas.len()];
        process.kill();
        kills += 1;
        // Nobody knows who leads but the lease; it ends 10 s after its holder.
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    trial.heal();
    crowd.leave().await;
    let changes = epoch(trial, Node::Reservation).await? - first;
    trial.note(format!("the lead changed hands {changes} times in {kills} kills"));
    if changes == 0 {
        trial.proves_nothing(format!("the lead did not change hands in {kills} kills"));
    }
    trial.judge().await
}

async fn epoch(trial: &Trial, node: Node) -> Result<i64, WorldError> {
    let pool = trial.world.database(node).await?;
    let (epoch,) = sqlx::query_as("SELECT epoch FROM relay_lease WHERE id = 1").fetch_one(&pool).await?;
    Ok(epoch)
}

pub async fn scaled(trial: &mut Trial) -> Result<(), WorldError> {
    for _ in 0..if trial.is_long { 4 } else { 1 } {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        let spare: Vec<Process> =
            Node::CONSUMERS.iter().flat_map(|node| trial.world.service(*node)[1..].to_vec()).collect();
        // From three to one, to three, to one; who is looked at afterwards must be there again.
        for is_last in [false, true] {
            for process in &spare {
                process.stop().await?;
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
            for process in &spare {
                process.start().await?;
            }
            if is_last {
                trial.heal();
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        trial.judge_after(crowd).await?;
    }
    Ok(())
}
