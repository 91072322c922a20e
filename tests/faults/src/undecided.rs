//! Watches a case from its beginning: no reservation may wait for its decision longer than is promised, however things
//! stand with diagnosis. Time without reservation itself, or without its database, does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::AnyPool;
use tokio::task::AbortHandle;

use crate::world::Process;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A reservation is decided, one way or the other, within this time.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);

/// A database that takes longer to answer is away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

pub struct Watch {
    overdue: Arc<Mutex<BTreeSet<i64>>>,
    task: AbortHandle,
}

impl Watch {
    /// Looks into reservation's database as long as one of these replicas is ready.
    pub fn begin(database: AnyPool, replicas: Vec<Process>) -> Self {
        let overdue: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
        let found = overdue.clone();
        let task = tokio::spawn(async move {
            let mut waiting = Waiting::default();
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let seen = if replicas.iter().any(Process::is_ready) { undecided(&database).await } else { None };
                let late = waiting.look(seen, Instant::now());
                found.lock().unwrap_or_else(PoisonError::into_inner).extend(late);
            }
        });
        Self { overdue, task: task.abort_handle() }
    }

    /// Those that waited too long, up to now.
    pub fn overdue(&self) -> BTreeSet<i64> {
        self.overdue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nothing where the database does not say.
async fn undecided(database: &AnyPool) -> Option<Vec<i64>> {
    let statement = "SELECT id FROM reservation WHERE state = 'PENDING' OR requested_change IS NOT NULL";
    // By itself the pool waits half a minute for a server that is away.
    let asked = tokio::time::timeout(ANSWERS_WITHIN, sqlx::query_as(statement).fetch_all(database)).await;
    let rows: Vec<(i64,)> = asked.ok()?.ok()?;
    Some(rows.into_iter().map(|(id,)| id).collect())
}

/// Since when each has been seen without a decision.
#[derive(Default)]
struct Waiting(BTreeMap<i64, Instant>);

impl Waiting {
    /// Those that have waited too long by now. What was seen before a time of which nobody knows begins anew.
    fn look(&mut self, seen: Option<Vec<i64>>, now: Instant) -> Vec<i64> {
        let Some(seen) = seen else {
            self.0.clear();
            return Vec::new();
        };
        let seen: BTreeSet<i64> = seen.into_iter().collect();
        self.0.retain(|id, _| seen.contains(id));
        for id in seen {
            self.0.entry(id).or_insert(now);
        }
        self.0.iter().filter(|(_, since)| now.duration_since(**since) > DECIDED_WITHIN).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_been_seen_all_the_time_is_late() {
        let (begun, mut waiting) = (Instant::now(), Waiting::default());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(waiting.look(Some(vec![1, 2]), at(0)).is_empty());
        assert!(waiting.look(Some(vec![1, 3]), at(20)).is_empty());
        assert_eq!(waiting.look(Some(vec![1, 2, 3]), at(31)), [1], "2 was decided in between, 3 came later");
        assert!(waiting.look(None, at(32)).is_empty());
        assert!(waiting.look(Some(vec![1, 2, 3]), at(33)).is_empty(), "the service was away");
    }
}
