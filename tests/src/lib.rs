//! The whole fleet in a test: its real binaries, broker, gateway and tokens, in a folder of its own.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test harness fails by panicking")]

mod collector;
mod fleet;
mod hospital;

pub use collector::{Collector, Span};
pub use fleet::{Fleet, binary};
pub use hospital::{Hospital, jackson};

use std::time::{Duration, Instant};

/// Far more than anything here needs; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds what it looks for.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
