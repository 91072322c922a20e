//! The two kinds of load, and what came of them.
//!
//! Closed: so many clients, each asks again when it has its answer. Open: so many requests a second, whether or not
//! the earlier ones are answered; the time of each counts from the moment it should have been sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::{Answer, Client, Question, Target};

/// Clients begin one after another within this time.
const RAMP: Duration = Duration::from_secs(1);

pub struct Tally {
    /// Microseconds of what was answered with success, and of what was refused with 503.
    pub admitted: Histogram<u64>,
    pub refused: Histogram<u64>,
    /// Successes that are 201, and refusals that say when to come again.
    pub created: u64,
    pub told_when: u64,
    /// Neither, or no answer at all.
    pub failed: u64,
    pub over: Duration,
}

impl Tally {
    pub fn new() -> Self {
        Self { admitted: times(), refused: times(), created: 0, told_when: 0, failed: 0, over: Duration::ZERO }
    }

    pub fn count(&mut self, answer: Option<&Answer>, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match answer {
            Some(answer) if (200..300).contains(&answer.status) => {
                self.admitted.saturating_record(micros);
                self.created += u64::from(answer.status == 201);
            }
            Some(answer) if answer.status == 503 => {
                self.refused.saturating_record(micros);
                self.told_when += u64::from(answer.retry_after.is_some());
            }
            _ => self.failed += 1,
        }
    }

    pub fn all(&self) -> u64 {
        self.admitted.len() + self.refused.len() + self.failed
    }

    /// Successes a second.
    pub fn goodput(&self) -> f64 {
        self.admitted.len() as f64 / self.over.as_secs_f64()
    }
}

/// From a microsecond to a minute, with three digits.
fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|error| unreachable!("these bounds are good: {error}"))
}

/// The time below which this share of the answers lies.
pub fn quantile(times: &Histogram<u64>, share: f64) -> Duration {
    Duration::from_micros(times.value_at_quantile(share))
}

pub fn longest(times: &Histogram<u64>) -> Duration {
    Duration::from_micros(times.max())
}

/// What clients do who are refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Come again when they were told to.
    Patient,
    /// Come again at once.
    Impatient,
}

type Shared = Arc<Mutex<Tally>>;

fn taken_from(shared: &Shared, over: Duration) -> Tally {
    let mut tally = Tally::new();
    std::mem::swap(&mut tally, &mut shared.lock().unwrap_or_else(PoisonError::into_inner));
    Tally { over, ..tally }
}

/// Only what ends after the clients have all begun is counted, and within `over` from then.
pub async fn closed(target: &Target, clients: u32, over: Duration, manners: Manners, question: &Question) -> Tally {
    let tally: Shared = Arc::new(Mutex::new(Tally::new()));
    let started = Instant::now();
    let (from, until) = (started + RAMP, started + RAMP + over);
    let mut users = JoinSet::new();
    for number in 0..clients {
        let (target, tally, question) = (target.clone(), tally.clone(), question.clone());
        users.spawn(async move {
            sleep_until(started + RAMP.mul_f64(f64::from(number) / f64::from(clients))).await;
            let mut client = Client::new(&target);
            while Instant::now() < until {
                let began = Instant::now();
                let answer = client.ask(&question).await;
                let now = Instant::now();
                if (from..until).contains(&now) {
                    tally.lock().unwrap_or_else(PoisonError::into_inner).count(answer.as_ref(), now - began);
                }
                match answer.map(|answer| answer.retry_after.unwrap_or_default()) {
                    Some(wait) if manners == Manners::Patient && !wait.is_zero() => {
                        sleep_until((now + wait).min(until)).await;
                    }
                    Some(_) => {}
                    // Nobody tries a dead address thousands of times a second.
                    None => sleep_until(now + Duration::from_millis(100)).await,
                }
            }
        });
    }
    users.join_all().await;
    taken_from(&tally, over)
}

/// Requests at random moments, as independent people send them.
pub async fn open(target: &Target, per_second: f64, over: Duration, question: impl Fn() -> Question) -> Tally {
    let tally: Shared = Arc::new(Mutex::new(Tally::new()));
    let idle: Arc<Mutex<Vec<Client>>> = Arc::default();
    let mut under_way = JoinSet::new();
    let started = Instant::now();
    let mut next = started;
    while next < started + over {
        sleep_until(next).await;
        let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = kept.unwrap_or_else(|| Client::new(target));
        let (idle, tally, question, intended) = (idle.clone(), tally.clone(), question(), next);
        under_way.spawn(async move {
            let answer = client.ask(&question).await;
            tally.lock().unwrap_or_else(PoisonError::into_inner).count(answer.as_ref(), intended.elapsed());
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        });
        while under_way.try_join_next().is_some() {}
        next += Duration::from_secs_f64(-rand::random::<f64>().max(f64::MIN_POSITIVE).ln() / per_second);
    }
    under_way.join_all().await;
    taken_from(&tally, over)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Answer {
        Answer { status, retry_after: retry_after.map(Duration::from_secs), body: Bytes::new() }
    }

    #[test]
    fn successes_refusals_and_failures_are_told_apart() {
        let mut tally = Tally::new();
        tally.count(Some(&answer(201, None)), Duration::from_millis(620));
        tally.count(Some(&answer(202, None)), Duration::from_millis(10));
        tally.count(Some(&answer(503, Some(2))), Duration::from_millis(5));
        tally.count(Some(&answer(503, None)), Duration::from_millis(5));
        tally.count(Some(&answer(500, None)), Duration::ZERO);
        tally.count(None, Duration::from_secs(10));
        assert_eq!((tally.admitted.len(), tally.created, tally.refused.len()), (2, 1, 2));
        assert_eq!((tally.told_when, tally.failed, tally.all()), (1, 2, 6));
        assert_eq!(longest(&tally.admitted).as_millis(), 620);
    }
}
