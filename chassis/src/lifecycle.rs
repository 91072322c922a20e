//! How a process lives and stops: readiness, background tasks, and the order of a graceful stop.
//!
//! A stop goes: readiness says 503 while requests are still accepted (lame duck), the server stops accepting
//! and drains, background tasks finish the record in hand, and only then the process ends with 0.
//! A background task that ends by itself is a crash: it stops the process, which then exits non-zero.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::db::Db;
use crate::http::trace::TraceContext;

#[derive(Clone, Default)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// A stop has been asked for: readiness is off, requests are still accepted.
    draining: CancellationToken,
    /// Requests are done: background tasks finish what they have in hand.
    stopping: CancellationToken,
    work: TaskTracker,
    background: TaskTracker,
    databases: Mutex<Vec<Db>>,
    crashed: AtomicBool,
    /// What is wrong with a part of the service at the moment; absent is well.
    troubles: Mutex<BTreeMap<&'static str, Option<String>>>,
}

impl Lifecycle {
    /// Runs a background task until the stop; one that ends earlier takes the process down.
    pub fn spawn_background<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let lifecycle = self.clone();
        self.inner.background.spawn(async move {
            let outcome = tokio::spawn(task).await;
            let reason = match outcome {
                Ok(Ok(())) if lifecycle.is_stopping() => return,
                Ok(Ok(())) => "it ended".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            tracing::error!(task = name, reason, "a background task ended by itself; the process stops");
            lifecycle.inner.crashed.store(true, Ordering::Relaxed);
            lifecycle.drain();
        });
    }

    /// Runs work that must end even if the client that asked for it has gone; a stop waits for it.
    pub fn spawn_work<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        // It goes on in the trace of the request that asked for it.
        let trace = TraceContext::current().unwrap_or_else(TraceContext::root);
        self.inner.work.spawn(trace.scope(work).in_current_span())
    }

    /// Asks for a stop.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    pub async fn draining(&self) {
        self.inner.draining.cancelled().await;
    }

    /// Resolves when background tasks must finish.
    pub async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }

    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.is_cancelled()
    }

    pub fn has_crashed(&self) -> bool {
        self.inner.crashed.load(Ordering::Relaxed)
    }

    /// A database that nobody needs any more when everything has finished.
    pub fn close_at_end(&self, db: Db) {
        self.inner.databases.lock().unwrap_or_else(PoisonError::into_inner).push(db);
    }

    /// Waits for detached work, then tells the background tasks to finish and waits for them, then closes the
    /// databases: SQLite writes its log back.
    pub async fn finish(&self) {
        self.inner.work.close();
        self.inner.work.wait().await;
        self.inner.stopping.cancel();
        self.inner.background.close();
        self.inner.background.wait().await;
        let databases = std::mem::take(&mut *self.inner.databases.lock().unwrap_or_else(PoisonError::into_inner));
        for db in databases {
            db.close().await;
        }
    }

    pub fn is_well(&self, part: &'static str) {
        self.set_health(part, None);
    }

    pub fn is_troubled(&self, part: &'static str, reason: impl Display) {
        self.set_health(part, Some(reason.to_string()));
    }

    /// Only the change is told: some troubles are met many times a second.
    fn set_health(&self, part: &'static str, trouble: Option<String>) {
        let mut troubles = self.inner.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = troubles.insert(part, trouble.clone());
        if before.as_ref().map(Option::is_none) != Some(trouble.is_none()) {
            metrics::gauge!("component_up", "component" => part).set(f64::from(u8::from(trouble.is_none())));
        }
        match (before.flatten(), trouble) {
            (None, Some(reason)) => tracing::warn!(part, reason, "in trouble"),
            (Some(_), None) => tracing::info!(part, "well again"),
            _ => {}
        }
    }

    /// Each part that has reported, with what is wrong with it.
    pub fn health(&self) -> BTreeMap<&'static str, Option<String>> {
        self.inner.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Resolves at SIGTERM or SIGINT.
pub async fn stop_signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
