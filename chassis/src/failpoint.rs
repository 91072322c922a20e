//! Places at which a test can have the process end or wait, named `what.before-step` or `what.after-step`.
//!
//! They stand around everything that a crash could come between: commits, sends, calls, marks, offsets. Without
//! the feature `failpoints` they are nothing at all; with it they do what the variable `FAILPOINTS` says, as in
//! `relay.before-send=3*off->return;write.hold-commit=return(10000)`.

#[cfg(feature = "failpoints")]
mod armed {
    use std::time::Duration;

    use crate::SettingError;

    const VARIABLE: &str = "FAILPOINTS";

    pub fn arm() -> Result<(), SettingError> {
        let Ok(points) = std::env::var(VARIABLE) else { return Ok(()) };
        for point in points.split(';').filter(|point| !point.is_empty()) {
            let wrong = |problem: String| SettingError::new(VARIABLE, format!("`{point}`: {problem}"));
            let (name, actions) = point.split_once('=').ok_or_else(|| wrong("write it as NAME=ACTIONS".to_owned()))?;
            fail::cfg(name, actions).map_err(wrong)?;
        }
        Ok(())
    }

    /// The action `return` ends the process here, without another word to anyone.
    pub fn crash_point(name: &str) {
        fail::fail_point!(name, |_| end_at(name));
    }

    fn end_at(name: &str) {
        eprintln!("failpoint {name}");
        std::process::abort();
    }

    /// The action `return(MILLISECONDS)` waits here while everything else goes on.
    pub async fn hold_point(name: &str) {
        if let Some(time) = held_for(name) {
            tokio::time::sleep(time).await;
        }
    }

    fn held_for(name: &str) -> Option<Duration> {
        fail::fail_point!(name, |time| time.and_then(|time| time.parse().ok()).map(Duration::from_millis));
        None
    }
}

#[cfg(not(feature = "failpoints"))]
mod absent {
    use crate::SettingError;

    #[inline(always)]
    pub fn arm() -> Result<(), SettingError> {
        Ok(())
    }

    #[inline(always)]
    pub fn crash_point(_: &str) {}

    #[inline(always)]
    pub fn hold_point(_: &str) -> std::future::Ready<()> {
        std::future::ready(())
    }
}

#[cfg(not(feature = "failpoints"))]
pub use absent::{arm, crash_point, hold_point};
#[cfg(feature = "failpoints")]
pub use armed::{arm, crash_point, hold_point};
