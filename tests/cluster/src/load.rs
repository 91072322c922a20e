//! Requests that do not wait for one another, counted by what became of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::hospital::{Error, Hospital, new_visit};

/// Failures whose words are kept; more of them say nothing new.
const WORDS_KEPT: usize = 5;

/// What became of the requests that were sent in some time.
#[derive(Default)]
struct Tally {
    requests: u64,
    failed: u64,
    slowest: Duration,
    total: Duration,
    /// How a failure looked, and how often.
    failures: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, outcome: &Result<Value, Error>, took: Duration) {
        self.requests += 1;
        self.slowest = self.slowest.max(took);
        self.total += took;
        let Err(error) = outcome else { return };
        self.failed += 1;
        let words = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let words = words.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if self.failures.len() < WORDS_KEPT || self.failures.contains_key(&words) {
            *self.failures.entry(words).or_default() += 1;
        }
    }

    fn line(&self, hospital: &Hospital) -> Value {
        json!({
            "requests": self.requests,
            "failed": self.failed,
            "repeated": hospital.take_repeated(),
            "slowest_ms": self.slowest.as_millis() as u64,
            "mean_ms": self.total.as_millis() as u64 / self.requests.max(1),
            "failures": self.failures,
        })
    }
}

/// At a constant rate until SIGTERM; each second a line of what was answered in it.
pub async fn constant(hospital: Hospital, rate: u32) -> Result<(), Error> {
    let (hospital, tally) = (Arc::new(hospital), Arc::new(Mutex::new(Tally::default())));
    let mut send = interval(Duration::from_secs(1) / rate.max(1));
    send.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut report = interval(Duration::from_secs(1));
    let mut stop = signal(SignalKind::terminate()).map_err(|error| Error::Unexpected(error.to_string()))?;
    for number in 0_u64.. {
        tokio::select! {
            _ = send.tick() => drop(tokio::spawn(send_one(hospital.clone(), tally.clone(), number))),
            _ = report.tick() => print_and_begin_anew(&tally, &hospital),
            _ = stop.recv() => break,
        }
    }
    print_and_begin_anew(&tally, &hospital);
    Ok(())
}

fn print_and_begin_anew(tally: &Mutex<Tally>, hospital: &Hospital) {
    let ended = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{}", ended.line(hospital));
}

/// What people do all day: one reserves, the others look.
async fn send_one(hospital: Arc<Hospital>, tally: Arc<Mutex<Tally>>, number: u64) {
    let started = Instant::now();
    let outcome = match number % 4 {
        0 => hospital.send(Method::POST, "/reservations", Some(&new_visit())).await,
        1 => hospital.send_alone(Method::POST, "/reservations", Some(&new_visit())).await,
        2 => hospital.get("/reservationStats?size=5").await,
        _ => hospital.send_alone(Method::GET, "/notices?size=5", None).await,
    };
    tally.lock().unwrap_or_else(PoisonError::into_inner).add(&outcome, started.elapsed());
}

/// Each user reserves, waits for the answer, and reserves again.
pub async fn siege(hospital: Hospital, users: u32, seconds: u64) -> Result<(), Error> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let one_user = async || {
        let mut tally = Tally::default();
        while Instant::now() < end {
            let started = Instant::now();
            let outcome = hospital.send(Method::POST, "/reservations", Some(&new_visit())).await;
            let is_over = outcome.is_err();
            tally.add(&outcome, started.elapsed());
            if is_over {
                // Who is sent away does not come back at once.
                sleep_until(Instant::now() + Duration::from_millis(rand::random_range(500..1500))).await;
            }
        }
        tally
    };
    let mut all = Tally::default();
    for tally in join_all((0..users).map(|_| one_user())).await {
        all.requests += tally.requests;
        all.failed += tally.failed;
        all.slowest = all.slowest.max(tally.slowest);
        all.total += tally.total;
        for (words, count) in tally.failures {
            *all.failures.entry(words).or_default() += count;
        }
    }
    println!("{}", all.line(&hospital));
    Ok(())
}
