//! A circuit breaker on errors: open when half of at least 20 calls within 10 s failed, for 2 s; then 5 probes
//! decide. Slow but successful is not sick.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW_SECONDS: u64 = 10;
const MIN_CALLS: u32 = 20;
const OPEN_FOR: Duration = Duration::from_secs(2);
const PROBES: u32 = 5;
/// The metric `circuit_breaker_open`.
const CLOSED: f64 = 0.0;
const HALF_OPEN: f64 = 0.5;
const OPEN: f64 = 1.0;

pub struct Breaker {
    target: &'static str,
    started: Instant,
    state: Mutex<State>,
}

enum State {
    Closed { seconds: [Second; WINDOW_SECONDS as usize] },
    Open { until: Instant },
    HalfOpen { admitted: u32, succeeded: u32 },
}

/// The calls that ended in one second of the window.
#[derive(Clone, Copy, Default)]
struct Second {
    number: u64,
    calls: u32,
    failures: u32,
}

/// Leave to make one call. One that ends without a word (its caller gave up) counts as failed.
pub struct Probe<'a> {
    breaker: &'a Breaker,
    is_reported: bool,
}

impl Breaker {
    pub fn new(target: &'static str) -> Self {
        let breaker = Self { target, started: Instant::now(), state: Mutex::new(State::closed()) };
        breaker.show(CLOSED);
        breaker
    }

    /// Whether a call would be refused now.
    pub fn is_open(&self) -> bool {
        self.is_open_at(Instant::now())
    }

    fn is_open_at(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Closed { .. } => false,
            State::Open { until } => now < until,
            State::HalfOpen { admitted, .. } => admitted >= PROBES,
        }
    }

    /// `None` while it is open.
    pub fn admit(&self) -> Option<Probe<'_>> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<Probe<'_>> {
        let mut state = self.lock();
        if let State::Open { until } = *state
            && now >= until
        {
            *state = State::HalfOpen { admitted: 0, succeeded: 0 };
            self.show(HALF_OPEN);
        }
        match &mut *state {
            State::Closed { .. } => {}
            State::HalfOpen { admitted, .. } if *admitted < PROBES => *admitted += 1,
            State::HalfOpen { .. } | State::Open { .. } => return None,
        }
        Some(Probe { breaker: self, is_reported: false })
    }

    fn report(&self, now: Instant, succeeded_now: bool) {
        let mut state = self.lock();
        let next = match &mut *state {
            State::Closed { seconds } => {
                let second = now.saturating_duration_since(self.started).as_secs();
                count(seconds, second, succeeded_now);
                is_sick(seconds, second).then(|| State::open(now))
            }
            State::HalfOpen { .. } if !succeeded_now => Some(State::open(now)),
            State::HalfOpen { succeeded, .. } => {
                *succeeded += 1;
                (*succeeded == PROBES).then(State::closed)
            }
            // A call that was under way when it opened.
            State::Open { .. } => None,
        };
        let Some(next) = next else { return };
        let is_open = matches!(next, State::Open { .. });
        *state = next;
        self.show(if is_open { OPEN } else { CLOSED });
        tracing::warn!(client.target = self.target, is_open, "the circuit breaker changed its state");
    }

    fn show(&self, value: f64) {
        metrics::gauge!("circuit_breaker_open", "target" => self.target).set(value);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn closed() -> Self {
        Self::Closed { seconds: Default::default() }
    }

    fn open(now: Instant) -> Self {
        Self::Open { until: now + OPEN_FOR }
    }
}

fn count(seconds: &mut [Second], now: u64, succeeded: bool) {
    let second = &mut seconds[(now % WINDOW_SECONDS) as usize];
    if second.number != now {
        *second = Second { number: now, ..Second::default() };
    }
    second.calls += 1;
    second.failures += u32::from(!succeeded);
}

fn is_sick(seconds: &[Second], now: u64) -> bool {
    let recent = seconds.iter().filter(|second| now - second.number < WINDOW_SECONDS);
    let (calls, failures) = recent.fold((0, 0), |(calls, failures), s| (calls + s.calls, failures + s.failures));
    calls >= MIN_CALLS && failures * 2 >= calls
}

impl Probe<'_> {
    pub fn done(self, succeeded: bool) {
        self.done_at(Instant::now(), succeeded);
    }

    fn done_at(mut self, now: Instant, succeeded: bool) {
        self.is_reported = true;
        self.breaker.report(now, succeeded);
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if !self.is_reported {
            self.breaker.report(Instant::now(), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(breaker: &Breaker, now: Instant, succeeds: bool) -> bool {
        match breaker.admit_at(now) {
            Some(probe) => {
                probe.done_at(now, succeeds);
                true
            }
            None => false,
        }
    }

    fn sick_breaker(now: Instant) -> Breaker {
        let breaker = Breaker::new("test");
        for n in 0..MIN_CALLS {
            assert!(call(&breaker, now, n % 2 == 0));
        }
        breaker
    }

    #[test]
    fn it_opens_when_half_of_twenty_calls_failed_and_not_before() {
        let (breaker, now) = (Breaker::new("test"), Instant::now());
        for _ in 0..MIN_CALLS - 1 {
            assert!(call(&breaker, now, false));
        }
        assert!(call(&breaker, now, true));
        assert!(!call(&breaker, now, true), "19 of 20 failed");
    }

    #[test]
    fn failures_long_ago_do_not_count() {
        let (breaker, now) = (Breaker::new("test"), Instant::now());
        for _ in 0..MIN_CALLS - 1 {
            call(&breaker, now, false);
        }
        let later = now + Duration::from_secs(WINDOW_SECONDS + 1);
        call(&breaker, later, false);
        assert!(call(&breaker, later, true));
    }

    #[test]
    fn after_two_seconds_five_good_probes_close_it() {
        let now = Instant::now();
        let breaker = sick_breaker(now);
        assert!(!call(&breaker, now, true));
        for _ in 0..PROBES {
            assert!(call(&breaker, now + OPEN_FOR, true));
        }
        assert!(call(&breaker, now + OPEN_FOR, false), "closed again: one failure is no reason");
        assert!(call(&breaker, now + OPEN_FOR, true));
    }

    #[test]
    fn whoever_asks_beforehand_hears_what_a_call_would_meet() {
        let now = Instant::now();
        assert!(!Breaker::new("test").is_open_at(now));
        let breaker = sick_breaker(now);
        assert!(breaker.is_open_at(now));
        let later = now + OPEN_FOR;
        assert!(!breaker.is_open_at(later), "it is time for probes");
        let probes: Vec<_> = (0..PROBES).map(|_| breaker.admit_at(later).unwrap()).collect();
        assert!(breaker.is_open_at(later), "there are enough of them");
        probes.into_iter().for_each(|probe| probe.done_at(later, true));
        assert!(!breaker.is_open_at(later));
    }

    #[test]
    fn one_bad_probe_opens_it_again() {
        let now = Instant::now();
        let breaker = sick_breaker(now);
        assert!(call(&breaker, now + OPEN_FOR, false));
        assert!(!call(&breaker, now + OPEN_FOR, true));
    }

    #[test]
    fn a_call_given_up_is_a_failed_one() {
        let breaker = Breaker::new("test");
        for _ in 0..MIN_CALLS {
            drop(breaker.admit().unwrap());
        }
        assert!(breaker.admit().is_none());
    }

    #[test]
    fn while_half_open_no_more_than_five_are_let_through_at_once() {
        let now = Instant::now();
        let breaker = sick_breaker(now);
        let probes: Vec<_> = (0..PROBES).map(|_| breaker.admit_at(now + OPEN_FOR).unwrap()).collect();
        assert!(breaker.admit_at(now + OPEN_FOR).is_none());
        probes.into_iter().for_each(|probe| probe.done_at(now + OPEN_FOR, true));
        assert!(breaker.admit_at(now + OPEN_FOR).is_some());
    }
}
