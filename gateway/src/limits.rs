//! So many requests a second for each client, in bounded memory.
//!
//! A token bucket kept as one number (GCRA): the moment at which the client's bucket will be full again. Each
//! request moves it on by one interval; who is a whole burst ahead of the clock has to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chassis::SettingError;

use crate::config::RateLimitSettings;

/// Clients in one generation; two are kept.
const GENERATION: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    Subject(Arc<str>),
    Address(IpAddr),
}

impl Client {
    /// One household has a whole /64 of IPv6 addresses.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

pub struct RateLimit {
    /// Between two requests; zero is without limit.
    interval: Duration,
    burst: Duration,
    started: Instant,
    seen: Mutex<Seen>,
}

/// Whoever is in neither generation has a full bucket. The older one is dropped when the younger is full, so the
/// idle are forgotten and a crowd of strangers takes no more memory than two generations.
#[derive(Default)]
struct Seen {
    young: HashMap<Client, Duration>,
    old: HashMap<Client, Duration>,
}

impl RateLimit {
    pub fn new(settings: &RateLimitSettings) -> Result<Self, SettingError> {
        if settings.per_second > 0 && settings.burst == 0 {
            return Err(SettingError::new("rate_limit.burst", "must be at least 1"));
        }
        let interval = Duration::from_secs(1).checked_div(settings.per_second).unwrap_or_default();
        Ok(Self { interval, burst: interval * settings.burst, started: Instant::now(), seen: Mutex::default() })
    }

    /// `Err` says how long to wait.
    pub fn take(&self, client: Client, now: Instant) -> Result<(), Duration> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let now = now.saturating_duration_since(self.started);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = seen.full_at(&client).unwrap_or(now).max(now) + self.interval;
        if let Some(wait) = (full_at - now).checked_sub(self.burst).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        seen.remember(client, full_at);
        Ok(())
    }
}

impl Seen {
    fn full_at(&self, client: &Client) -> Option<Duration> {
        self.young.get(client).or_else(|| self.old.get(client)).copied()
    }

    fn remember(&mut self, client: Client, full_at: Duration) {
        if let Some(known) = self.young.get_mut(&client) {
            *known = full_at;
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(client, full_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32, burst: u32) -> RateLimit {
        RateLimit::new(&RateLimitSettings { per_second, burst }).unwrap()
    }

    fn anna() -> Client {
        Client::Subject("anna".into())
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limit = limit(10, 3);
        let start = Instant::now();
        assert!((0..3).all(|_| limit.take(anna(), start).is_ok()));
        assert!(limit.take(anna(), start).unwrap_err() <= Duration::from_millis(100));
        let later = start + Duration::from_millis(100);
        assert!(limit.take(anna(), later).is_ok());
        assert!(limit.take(anna(), later).is_err());
        let much_later = start + Duration::from_secs(60);
        let passed = (0..9).filter(|_| limit.take(anna(), much_later).is_ok()).count();
        assert_eq!(passed, 3, "a pause saves no more than a burst");
    }

    #[test]
    fn one_clients_haste_is_not_anothers_wait() {
        let limit = limit(1, 1);
        let now = Instant::now();
        let at = |address: &str| Client::at(address.parse().unwrap());
        assert!(limit.take(anna(), now).is_ok());
        assert!(limit.take(anna(), now).is_err());
        assert!(limit.take(Client::Subject("bert".into()), now).is_ok());
        assert!(limit.take(at("10.0.0.1"), now).is_ok());
        assert!(limit.take(at("2001:db8::1"), now).is_ok());
        assert!(limit.take(at("2001:db8::2"), now).is_err(), "the same household");
        assert!(limit.take(at("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn strangers_without_number_take_bounded_memory() {
        let limit = limit(1, 1);
        let now = Instant::now();
        for address in 0..100_000 {
            assert!(limit.take(Client::at(IpAddr::from(std::net::Ipv4Addr::from_bits(address))), now).is_ok());
        }
        let seen = limit.seen.lock().unwrap();
        assert!(seen.young.len() + seen.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn zero_is_without_limit() {
        let limit = limit(0, 0);
        let now = Instant::now();
        assert!((0..100_000).all(|_| limit.take(anna(), now).is_ok()));
    }

    #[test]
    fn a_rate_without_a_burst_is_a_setting_error() {
        assert!(RateLimit::new(&RateLimitSettings { per_second: 5, burst: 0 }).is_err());
    }
}
