//! Processes that end at once, at any point of their work.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt;
use rand::seq::SliceRandom;
use tokio::sync::Semaphore;

use super::errands;
use crate::checker::Invariant;
use crate::clients::Habits;
use crate::history::{Action, Outcome};
use crate::points::{Point, When};
use crate::trial::Trial;
use crate::world::{Cause, Kafka, Node, Process, Storage, World, WorldError};

const CLIENTS: usize = 12;
/// A point that no work comes by in this time is tried again in the next round. A relay waits 10 s for the lease of
/// one that was killed, and with Apache Kafka a consumer 6 s for its session.
const UNTIL_REACHED: Duration = Duration::from_secs(12);
/// Services that are being killed at the same time; with more of them nothing would get anywhere.
const AT_ONCE: usize = 2;
/// With Apache Kafka most of the time goes by in waiting for a session's end.
const AT_ONCE_APACHE: usize = 6;
/// How many times a process may come past its point before it ends there, and how long it lives in peace before that.
/// If it always died young, nobody would get anything done.
const MOST_SKIPPED: u32 = 12;
const MOST_MS_BETWEEN: u64 = 800;
/// What consumers have missed while they were down most of the time is to be taken in within the limit of a recovery.
/// On PostgreSQL every statement of that passes a link, on cores that the campaign and both servers need as well: there
/// clients take their time.
const UNHURRIED: Range<Duration> = Duration::from_millis(150)..Duration::from_millis(600);
/// Kills between two judgements.
const PER_ROUND: usize = 60;
/// Kills in a row that no reservation got through between; more of them would only keep the fleet down.
const IN_VAIN: usize = 3;
/// Kills a point, so that each of them is reached.
const ENOUGH_FOR_ALL: usize = 4;
/// In the shortest run: fewer have nothing between them.
const FEWEST_AT_RANDOM: usize = 3;

pub async fn at_failpoints(trial: &mut Trial) -> Result<(), WorldError> {
    let mut reached: BTreeMap<(Node, &str), usize> =
        trial.points.iter().map(|point| ((point.node, point.name), 0)).collect();
    let mut queue: Vec<Point> = Vec::new();
    let (mut kills, mut rounds) = (0, 0);
    while kills < trial.kills_wanted && rounds < 1 + 2 * trial.kills_wanted / PER_ROUND {
        rounds += 1;
        let size = PER_ROUND.min(trial.kills_wanted - kills);
        while queue.len() < size {
            let mut pass = trial.points.clone();
            pass.shuffle(&mut trial.rng);
            queue.extend(pass);
        }
        let rest = queue.split_off(size);
        for point in kill_at(trial, std::mem::replace(&mut queue, rest)).await? {
            *reached.entry((point.node, point.name)).or_default() += 1;
            kills += 1;
        }
        trial.judge().await?;
        if trial.kills_wanted > PER_ROUND {
            println!("    {kills} of {} kills, {}", trial.kills_wanted, trial.so_far());
        }
    }
    let missed: Vec<String> =
        reached.iter().filter(|(_, hits)| **hits == 0).map(|((node, point), _)| format!("{node} {point}")).collect();
    trial.note(format!("{} of {} points were reached", reached.len() - missed.len(), reached.len()));
    if kills == 0 {
        trial.proves_nothing("no process came past the point at which it was to be killed");
    }
    if !missed.is_empty() {
        let missed = format!("not reached: {}", missed.join(", "));
        trial.note(&missed);
        // So many kills come by every point that there is.
        if trial.kills_wanted >= reached.len() * ENOUGH_FOR_ALL {
            trial.proves_nothing(missed);
        }
    }
    Ok(())
}

/// Kills services at these points while clients work; those that were reached.
async fn kill_at(trial: &mut Trial, points: Vec<Point>) -> Result<Vec<Point>, WorldError> {
    let mut by_service: BTreeMap<Node, Vec<(Point, Duration, u32)>> = BTreeMap::new();
    for point in points {
        let life = Duration::from_millis(trial.rng.random_range(0..MOST_MS_BETWEEN));
        let skip = trial.rng.random_range(0..MOST_SKIPPED);
        by_service.entry(point.node).or_default().push((point, life, skip));
    }
    let mut habits = Habits::usual(CLIENTS);
    if trial.world.plan.storage == Storage::Postgres {
        habits.pause = UNHURRIED;
    }
    let crowd = trial.crowd(&habits).await?;
    let world = &trial.world;
    let turns = &Semaphore::new(if world.plan.kafka == Kafka::Apache { AT_ONCE_APACHE } else { AT_ONCE });
    let services = by_service.into_values().map(async |points| {
        let mut reached = Vec::new();
        for (number, (point, life, skip)) in points.into_iter().enumerate() {
            let Ok(_turn) = turns.acquire().await else { break };
            tokio::time::sleep(life).await;
            let replicas = world.service(point.node);
            if is_killed_at(world, &replicas[number % replicas.len()], point, skip).await? {
                reached.push(point);
            }
        }
        Ok::<_, WorldError>(reached)
    });
    let reached = join_all(services).await;
    trial.heal();
    crowd.leave().await;
    let reached: Vec<Vec<Point>> = reached.into_iter().collect::<Result<_, _>>()?;
    Ok(reached.into_iter().flatten().collect())
}

/// Starts it with the point armed and waits for its end there. The kill before it may come at any moment.
async fn is_killed_at(world: &World, process: &Process, point: Point, skip: u32) -> Result<bool, WorldError> {
    // What is rare is waited for the first time already.
    let skip = if point.when == When::Load { skip } else { 0 };
    process.arm(&format!("{}={skip}*off->return", point.name));
    if point.node == Node::Notice {
        process.set_env("CHANNEL_KIND", if point.when == When::Webhook { "webhook" } else { "log" });
    }
    let before = process.deaths().len();
    process.kill();
    process.until_death(before, UNTIL_REACHED).await;
    let death = tokio::select! {
        death = process.until_death(before + 1, UNTIL_REACHED) => death,
        never = errands::run(world, point.when) => match never {},
    };
    errands::over(world, point.when)?;
    if death.is_some() {
        // Its next life is without failpoints.
        process.until_ready().await?;
    }
    Ok(death.is_some_and(|death| death.cause == Cause::Failpoint(point.name.to_owned())))
}

pub async fn at_random(trial: &mut Trial) -> Result<(), WorldError> {
    let wanted = trial.kills_wanted.div_ceil(5).max(FEWEST_AT_RANDOM);
    let (mut kills, mut between) = (0, 0);
    while kills < wanted {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        let (mut reserved, mut in_vain) = (0, 0);
        for number in 0..PER_ROUND.min(wanted - kills) {
            // On a slow machine nothing may get through by itself; where nothing has, the last kill waits for it.
            let proves_nothing_yet = between == 0 && kills + 1 == wanted;
            if in_vain >= IN_VAIN || proves_nothing_yet {
                trial.until_reserved(reserved + 1).await;
            }
            // Any moment after that, too.
            let pause = Duration::from_millis(trial.rng.random_range(50..700));
            tokio::time::sleep(pause).await;
            let now = trial.history.reserved();
            // Those before the first kill say nothing.
            between += if number == 0 { 0 } else { now - reserved };
            in_vain = if now > reserved { 0 } else { in_vain + 1 };
            reserved = now;
            let node = Node::SERVICES[trial.rng.random_range(0..Node::SERVICES.len())];
            let replica = trial.rng.random_range(0..trial.world.service(node).len());
            trial.world.service(node)[replica].kill();
            kills += 1;
        }
        trial.judge_after(crowd).await?;
    }
    trial.note(format!("{between} reservations were acknowledged between the kills"));
    if between == 0 {
        trial.proves_nothing(format!("no reservation got through between {kills} kills"));
    }
    Ok(())
}

pub async fn all_at_once(trial: &mut Trial) -> Result<(), WorldError> {
    for _ in 0..if trial.is_long { 10 } else { 2 } {
        let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
        let pause = Duration::from_millis(trial.rng.random_range(1000..4000));
        tokio::time::sleep(pause).await;
        trial.world.processes().for_each(Process::kill);
        trial.heal();
        tokio::time::sleep(Duration::from_secs(2)).await;
        trial.judge_after(crowd).await?;
    }
    Ok(())
}

pub async fn rolling_restart(trial: &mut Trial) -> Result<(), WorldError> {
    let habits = Habits { impatient: 0, ..Habits::usual(CLIENTS) };
    let crowd = trial.crowd(&habits).await?;
    for node in Node::SERVICES {
        for process in trial.world.service(node).to_vec() {
            process.stop().await?;
            process.start().await?;
            // The next one goes when this one has been found again.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    trial.heal();
    crowd.leave().await;
    let failed = failures(trial, 0);
    if trial.world.plan.replicas > 1 {
        for what in failed {
            trial.violated(Invariant::I11, format!("while a replica was restarted, {what}"));
        }
    } else {
        trial.note(format!("with one replica each, {} requests came while theirs was away", failed.len()));
    }
    trial.judge().await
}

/// Requests from this one on that got no answer, or were told to come again.
pub fn failures(trial: &Trial, since: usize) -> Vec<String> {
    let operations = trial.history.operations();
    let honest = operations[since..].iter().filter(|operation| operation.action != Action::Intrude);
    honest
        .filter_map(|operation| match &operation.outcome {
            Outcome::Unknown { why } => Some(format!("request {} {:?}: {why}", operation.number, operation.action)),
            Outcome::Refused { status: status @ 500.., kind } => {
                Some(format!("request {} {:?}: {status} {kind}", operation.number, operation.action))
            }
            _ => None,
        })
        .collect()
}
