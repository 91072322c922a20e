//! Requests that do not wait for one another, counted by what became of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// What is sent at a constant rate.
struct Load {
    hospital: Hospital,
    tally: Mutex<Tally>,
    /// When each request was sent that has no answer yet, by its number.
    under_way: Mutex<BTreeMap<u64, Instant>>,
}

impl Load {
    fn new(hospital: Hospital) -> Self {
        Self { hospital, tally: Mutex::default(), under_way: Mutex::default() }
    }

    fn begin(&self, number: u64, now: Instant) {
        lock(&self.under_way).insert(number, now);
    }

    fn end(&self, number: u64, outcome: &Result<Value, Error>, now: Instant) {
        let Some(started) = lock(&self.under_way).remove(&number) else { return };
        lock(&self.tally).add(outcome, now - started);
    }

    /// What was answered since this was asked last, and the age of the oldest request that has no answer: whoever
    /// waits until it is younger than his waiting knows of all that was sent before.
    fn take_line(&self, now: Instant) -> Value {
        let oldest = lock(&self.under_way).first_key_value().map(|(_, started)| now - *started);
        let mut line = std::mem::take(&mut *lock(&self.tally)).line(&self.hospital);
        line["oldest_ms"] = json!(oldest.unwrap_or_default().as_millis() as u64);
        line
    }

    /// What people do all day: one reserves, the others look. Now and then somebody logs in: that is made to be slow.
    async fn send(&self, number: u64) -> Result<Value, Error> {
        let hospital = &self.hospital;
        match number % 20 {
            19 => hospital.log_in().await,
            errand => match errand % 6 {
                0 => hospital.send(Method::POST, "/reservations", Some(&new_visit())).await,
                1 => hospital.send_alone(Method::POST, "/reservations", Some(&new_visit())).await,
                2 => hospital.get("/reservationStats?size=5").await,
                3 => hospital.send_alone(Method::GET, "/notices?size=5", None).await,
                4 => hospital.get("/financialManagements?size=5").await,
                _ => hospital.send_alone(Method::GET, "/medicalRecords?size=5", None).await,
            },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At a constant rate until SIGTERM; a line at most each second.
pub async fn constant(hospital: Hospital, rate: u32) -> Result<(), Error> {
    let load = Arc::new(Load::new(hospital));
    let mut send = interval(Duration::from_secs(1) / rate.max(1));
    send.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut report = interval(Duration::from_secs(1));
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = signal(SignalKind::terminate()).map_err(|error| Error::Unexpected(error.to_string()))?;
    let mut number = 0;
    loop {
        tokio::select! {
            _ = send.tick() => {
                send_one(load.clone(), number);
                number += 1;
            }
            _ = report.tick() => println!("{}", load.take_line(Instant::now())),
            _ = stop.recv() => break,
        }
    }
    println!("{}", load.take_line(Instant::now()));
    Ok(())
}

fn send_one(load: Arc<Load>, number: u64) {
    load.begin(number, Instant::now());
    tokio::spawn(async move {
        let outcome = load.send(number).await;
        load.end(number, &outcome, Instant::now());
    });
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::Way;

    fn load(gateway: String) -> Load {
        Load::new(Hospital::new(Way { gateway, user: String::new(), password: String::new() }))
    }

    #[test]
    fn a_line_tells_what_was_answered_and_how_old_the_oldest_is_that_was_not() {
        let load = load(String::new());
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        load.begin(0, start);
        load.begin(1, after(100));
        load.end(1, &Ok(Value::Null), after(130));
        let first = load.take_line(after(1000));
        assert_eq!(
            (&first["requests"], &first["slowest_ms"], &first["oldest_ms"]),
            (&json!(1), &json!(30), &json!(1000))
        );
        load.end(0, &Err(Error::Unexpected("late".to_owned())), after(1500));
        let second = load.take_line(after(2000));
        assert_eq!((&second["requests"], &second["failed"], &second["oldest_ms"]), (&json!(1), &json!(1), &json!(0)));
        assert_eq!(second["failures"]["late"], 1);
    }

    #[tokio::test]
    async fn within_twenty_requests_each_service_is_asked() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let load = load(format!("http://{}", server.local_addr().unwrap()));
        let (tell, asked) = channel();
        std::thread::spawn(move || server.incoming().for_each(|end| answer(end.unwrap(), &tell)));
        for number in 0..20 {
            load.send(number).await.unwrap();
        }
        let asked: Vec<String> = asked.try_iter().collect();
        let count = |line: &str| asked.iter().filter(|asked| asked.starts_with(line)).count();
        assert_eq!(count("POST /reservations "), 7);
        for path in ["reservationStats", "notices", "financialManagements", "medicalRecords"] {
            assert_eq!(count(&format!("GET /{path}?")), 3, "{path}");
        }
        assert_eq!(count("POST /oauth/token "), 2, "the token of all the others, and a login");
    }

    /// Tells what is asked, and answers.
    fn answer(mut end: TcpStream, tell: &Sender<String>) {
        let mut reader = BufReader::new(&end);
        let (mut request_line, mut length) = (String::new(), 0);
        reader.read_line(&mut request_line).unwrap();
        for line in reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()) {
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        reader.take(length).read_to_end(&mut Vec::new()).unwrap();
        tell.send(request_line).unwrap();
        end.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    }
}
