//! The database is away, full, slow to commit, or has another idea of the time.

use std::time::Duration;

use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;

use super::kills::failures;
use crate::checker::Invariant;
use crate::clients::Habits;
use crate::trial::Trial;
use crate::world::{Node, WorldError};

const CLIENTS: usize = 10;
/// A key that no reservation has.
const LATE: &str = "faults-late";

/// A service's database, to be written by a case: `World::database` only looks.
pub async fn writable(trial: &Trial, node: Node) -> Result<AnyPool, WorldError> {
    let url = match trial.world.database_server() {
        Some(server) => format!("postgres://test@{}/{node}?application_name=checker", server.address()),
        None => format!("sqlite://{}", trial.world.plan.folder.join(node.name()).join(format!("{node}.db")).display()),
    };
    Ok(AnyPoolOptions::new().max_connections(1).connect(&url).await?)
}

pub async fn away(trial: &mut Trial) -> Result<(), WorldError> {
    let server = trial.world.database_server().cloned().ok_or_else(|| WorldError::failed("there is no server"))?;
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.stop().await?;
    tokio::time::sleep(Duration::from_secs(if trial.is_long { 20 } else { 3 })).await;
    server.start().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.kill();
    trial.heal();
    tokio::time::sleep(Duration::from_secs(2)).await;
    trial.judge_after(crowd).await
}

pub async fn terminated(trial: &mut Trial) -> Result<(), WorldError> {
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    let mut ended = 0;
    for _ in 0..if trial.is_long { 10 } else { 2 } {
        for node in Node::WITH_DATABASE {
            ended += trial.world.terminate_connections(node).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    trial.note(format!("{ended} connections were ended"));
    if ended == 0 {
        trial.proves_nothing("no connection was ended");
    }
    trial.judge_after(crowd).await
}

/// Its outbox id is taken before those of many others and seen long after them.
pub async fn long_transaction(trial: &mut Trial) -> Result<(), WorldError> {
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    let pool = writable(trial, Node::Reservation).await?;
    let mut open = pool.begin().await?;
    sqlx::query(
        "INSERT INTO outbox (event_type, message_key, sequence, payload, created_at) VALUES ($1, $2, 1, $3, 0)",
    )
    .bind("SomethingNewer")
    .bind(LATE)
    .bind(r#"{"eventType": "SomethingNewer"}"#)
    .execute(&mut *open)
    .await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    open.commit().await?;
    pool.close().await;
    trial.judge_after(crowd).await?;
    let topic = trial.world.read_topic().await?;
    if !topic.iter().any(|record| record.key.as_deref() == Some(LATE.as_bytes())) {
        trial.violated(Invariant::I6, "an event whose transaction stayed open for 10 s was never published");
    }
    Ok(())
}

pub async fn disk_full(trial: &mut Trial) -> Result<(), WorldError> {
    // Nobody leaves by himself: who is not answered has felt the disk.
    let crowd = trial.crowd(&Habits { impatient: 0, ..Habits::usual(CLIENTS) }).await?;
    for _ in 0..if trial.is_long { 5 } else { 2 } {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let disk = trial.world.disk().ok_or_else(|| WorldError::failed("there is no small disk"))?;
        disk.fill()?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        disk.free()?;
    }
    trial.heal();
    tokio::time::sleep(Duration::from_secs(1)).await;
    crowd.leave().await;
    if failures(trial, 0).is_empty() {
        trial.proves_nothing("no request felt that the disk was full");
    }
    trial.judge().await
}

/// Tokens are made anew after each jump, as their times are what the clock says.
pub async fn clock_jumps(trial: &mut Trial) -> Result<(), WorldError> {
    for seconds in [0, 3600, -3600, 0] {
        trial.world.set_clock(seconds)?;
        trial.renew_tokens().await?;
        trial.load(CLIENTS, Duration::from_secs(4)).await?;
    }
    trial.judge().await
}
