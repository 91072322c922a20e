//! The time, injected, so that tests decide what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

#[derive(Clone, Default)]
pub struct Clock {
    /// Milliseconds since 1970 in a test; the system's clock where it is absent.
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn fixed(at: Timestamp) -> Self {
        Self { fixed: Some(Arc::new(AtomicI64::new(at.as_millisecond()))) }
    }

    /// Moves a fixed clock; the system's clock does not move by request.
    pub fn advance(&self, by: std::time::Duration) {
        if let Some(fixed) = &self.fixed {
            fixed.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
        }
    }

    pub fn now(&self) -> Timestamp {
        match &self.fixed {
            Some(fixed) => Timestamp::from_millisecond(fixed.load(Ordering::Relaxed)).unwrap_or_default(),
            None => Timestamp::now(),
        }
    }

    /// Unix milliseconds, the form in which the databases keep a time.
    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}
