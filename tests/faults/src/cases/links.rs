//! Connections that break, hang, or carry nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::checker::Invariant;
use crate::clients::Habits;
use crate::history::Action;
use crate::trial::Trial;
use crate::world::{Fault, Link, Node, WorldError};

const CLIENTS: usize = 10;
const SHARE: f64 = 0.15;

pub async fn reset_before(trial: &mut Trial) -> Result<(), WorldError> {
    on_each_link(trial, Fault::ResetBefore { share: SHARE }).await
}

pub async fn reset_after(trial: &mut Trial) -> Result<(), WorldError> {
    on_each_link(trial, Fault::ResetAfter { share: SHARE }).await
}

pub async fn half_close(trial: &mut Trial) -> Result<(), WorldError> {
    on_each_link(trial, Fault::HalfClose { share: SHARE }).await
}

async fn on_each_link(trial: &mut Trial, fault: Fault) -> Result<(), WorldError> {
    let each = Duration::from_millis(if trial.is_long { 4000 } else { 400 });
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    for link in all_links(trial) {
        link.set(fault);
        tokio::time::sleep(each).await;
        link.heal();
    }
    // And all of them at once.
    all_links(trial).iter().for_each(|link| link.set(fault));
    tokio::time::sleep(each * 2).await;
    trial.judge_after(crowd).await
}

pub async fn silent(trial: &mut Trial) -> Result<(), WorldError> {
    let links = all_links(trial);
    silence(trial, &links).await
}

pub async fn silent_database(trial: &mut Trial) -> Result<(), WorldError> {
    let mut links = all_links(trial);
    links.retain(|link| link.to == Node::Postgres);
    silence(trial, &links).await
}

/// Each link in turn, then all of them at once, and that again and again: what a connection takes with it is missing
/// from then on.
async fn silence(trial: &mut Trial, links: &[Arc<Link>]) -> Result<(), WorldError> {
    let each = Duration::from_millis(if trial.is_long { 2000 } else { 200 });
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    tokio::time::sleep(each).await;
    for link in links {
        link.silence();
        tokio::time::sleep(each).await;
    }
    for _ in 0..4 {
        links.iter().for_each(|link| link.silence());
        tokio::time::sleep(each * 4).await;
    }
    trial.judge_after(crowd).await
}

fn all_links(trial: &Trial) -> Vec<Arc<Link>> {
    trial.world.links().cloned().collect()
}

pub async fn slow(trial: &mut Trial) -> Result<(), WorldError> {
    let delay = Fault::Delay { time: Duration::from_millis(20), jitter: Duration::from_millis(40) };
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    all_links(trial).iter().for_each(|link| link.set(delay));
    tokio::time::sleep(Duration::from_secs(5)).await;
    trial.world.heal_all();
    for link in all_links(trial) {
        link.set(Fault::Slow { bytes_per_second: 2000 });
        tokio::time::sleep(Duration::from_secs(1)).await;
        link.heal();
    }
    trial.judge_after(crowd).await
}

pub async fn blackhole(trial: &mut Trial) -> Result<(), WorldError> {
    hold(trial, &[Fault::Blackhole]).await
}

pub async fn one_way_loss(trial: &mut Trial) -> Result<(), WorldError> {
    hold(trial, &[Fault::HoldAnswers, Fault::HoldRequests]).await
}

/// In a long run for longer than a reservation may stay undecided.
async fn hold(trial: &mut Trial, faults: &[Fault]) -> Result<(), WorldError> {
    let time = Duration::from_secs(if trial.is_long { 30 } else { 3 });
    let link = trial.world.link(Node::Reservation, Node::Diagnosis)?.clone();
    for fault in faults {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        link.set(*fault);
        tokio::time::sleep(time).await;
        trial.heal();
        tokio::time::sleep(Duration::from_secs(2)).await;
        trial.judge_after(crowd).await?;
    }
    Ok(())
}

pub async fn slow_diagnosis(trial: &mut Trial) -> Result<(), WorldError> {
    trial.load(40, Duration::from_secs(15)).await?;
    trial.judge().await
}

pub async fn sick_diagnosis(trial: &mut Trial) -> Result<(), WorldError> {
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    for time in ["5s..5s", ""] {
        for process in trial.world.service(Node::Diagnosis).to_vec() {
            process.restart_with(&[("TREATMENT_SIMULATED_TIME", time)]).await?;
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    for process in trial.world.service(Node::Diagnosis).to_vec() {
        process.kill_and_hold().await?;
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    for process in trial.world.service(Node::Diagnosis).to_vec() {
        process.start().await?;
    }
    trial.heal();
    tokio::time::sleep(Duration::from_secs(4)).await;
    trial.judge_after(crowd).await?;
    if refused_by_breaker(trial).await? == 0 {
        trial.proves_nothing("reservation never held diagnosis for sick");
    }
    Ok(())
}

/// Calls that reservation did not make because it held diagnosis for sick, by its own count.
async fn refused_by_breaker(trial: &Trial) -> Result<u64, WorldError> {
    const COUNT: &str = "requests_shed_total{limit=\"breaker-diagnosis\"} ";
    let mut refused = 0;
    for process in trial.world.service(Node::Reservation) {
        let metrics = process.metrics().await?;
        let counts = metrics.lines().filter_map(|line| line.strip_prefix(COUNT)?.parse::<u64>().ok());
        refused += counts.sum::<u64>();
    }
    Ok(refused)
}

/// Half of them stop in the middle of a header, half of them go on a byte at a time.
pub async fn slow_senders(trial: &mut Trial) -> Result<(), WorldError> {
    const SENDERS: usize = 200;
    let address = trial.world.gateway().trim_start_matches("http://").to_owned();
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let connected = TcpStream::connect(&address).await;
        let mut sender = connected.map_err(|source| WorldError::io("connect to the gateway", source))?;
        let begun = sender.write_all(b"POST /reservations HTTP/1.1\r\nHost: fleet\r\nX-Slow: ").await;
        begun.map_err(|source| WorldError::io("begin a request", source))?;
        senders.push(sender);
    }
    let crowd = trial.crowd(&Habits { impatient: 0, ..Habits::usual(CLIENTS) }).await?;
    for _ in 0..40 {
        for sender in &mut senders[SENDERS / 2..] {
            // The server may have had enough of it.
            drop(sender.write_all(b"x").await);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    trial.heal();
    crowd.leave().await;
    drop(senders);
    let operations = trial.history.operations();
    let honest = operations.iter().filter(|operation| operation.action != Action::Intrude);
    let unanswered = honest.filter(|operation| operation.outcome.is_unknown()).count();
    if unanswered > 0 {
        trial.violated(Invariant::I11, format!("{unanswered} requests of others were not answered"));
    }
    trial.judge().await
}
