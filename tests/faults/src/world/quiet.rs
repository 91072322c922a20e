//! Quiescence: nothing is on its way any more, so that what is there can be compared.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;

use super::{Node, World, WorldError};

/// After that it is given up: what is never well is told apart from what is late.
pub const RECOVERY_PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(200);
/// Of what waits at one place, so many are named.
const NAMED: usize = 5;

/// Where something may wait: what it is called there, what names it, and from where.
struct Waiting {
    node: Node,
    what: &'static str,
    name: &'static str,
    rows: &'static str,
}

const WAITING: [Waiting; 5] = [
    outbox(Node::Reservation),
    outbox(Node::Diagnosis),
    outbox(Node::Acceptance),
    Waiting {
        node: Node::Reservation,
        what: "unsettled at",
        name: "CAST(id AS TEXT)",
        rows: "reservation WHERE state = 'PENDING' OR requested_change IS NOT NULL",
    },
    Waiting {
        node: Node::Notice,
        what: "to be sent by",
        name: "CAST(id AS TEXT)",
        rows: "notice WHERE state = 'PENDING'",
    },
];

const fn outbox(node: Node) -> Waiting {
    Waiting { node, what: "in the outbox of", name: "message_key", rows: "outbox" }
}

/// How the fleet came to rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    pub took: Duration,
    /// What was on its way when it was looked at for the last time before that.
    pub last: Option<String>,
}

impl World {
    /// Waits until nothing is on its way; the time counts from when all was healed.
    pub async fn quiet(&self, healed: Instant) -> Result<Rest, WorldError> {
        let mut last = None;
        loop {
            let unquiet = match self.what_is_on_its_way().await {
                Ok(None) => return Ok(Rest { took: healed.elapsed(), last }),
                Ok(Some(unquiet)) => unquiet,
                Err(error) => error.to_string(),
            };
            if healed.elapsed() > RECOVERY_PATIENCE {
                return Err(WorldError::failed(format!(
                    "not quiet after {} s: {unquiet}",
                    RECOVERY_PATIENCE.as_secs()
                )));
            }
            last = Some(unquiet);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything that is not at rest, in words.
    pub async fn what_is_on_its_way(&self) -> Result<Option<String>, WorldError> {
        let held_up = self.processes().filter(|process| !process.is_held_down() && !process.is_ready());
        let mut unquiet: Vec<String> = held_up.map(|process| format!("{} is not ready", process.name())).collect();
        // Who is not there cannot be asked either, and what waits for it does so for no other reason.
        if !unquiet.is_empty() {
            return Ok(Some(unquiet.join("; ")));
        }
        for waiting in WAITING {
            unquiet.extend(self.waiting(&waiting).await?);
        }
        for node in Node::CONSUMERS {
            unquiet.extend(behind(node, &self.lags(node).await?));
        }
        Ok((!unquiet.is_empty()).then(|| unquiet.join("; ")))
    }

    async fn waiting(&self, waiting: &Waiting) -> Result<Option<String>, WorldError> {
        let Waiting { node, what, name, rows } = waiting;
        let pool = self.database(*node).await?;
        let count = format!("SELECT COUNT(*) FROM {rows}");
        let (count,): (i64,) = sqlx::query_as(AssertSqlSafe(count)).fetch_one(&pool).await?;
        if count == 0 {
            return Ok(None);
        }
        let first = format!("SELECT {name} FROM {rows} ORDER BY id LIMIT {NAMED}");
        let first: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(first)).fetch_all(&pool).await?;
        let first: Vec<String> = first.into_iter().map(|(name,)| name).collect();
        Ok(Some(format!("{count} {what} {node}, first {}", first.join(", "))))
    }
}

/// How far a consumer is behind, and in which partitions.
fn behind(node: Node, lags: &[(i32, i64)]) -> Option<String> {
    let lagging: Vec<_> = lags.iter().filter(|(_, lag)| *lag > 0).collect();
    if lagging.is_empty() {
        return None;
    }
    let records: i64 = lagging.iter().map(|(_, lag)| lag).sum();
    let partitions: Vec<String> =
        lagging.iter().map(|(partition, lag)| format!("{lag} in partition {partition}")).collect();
    Some(format!("{node} is {records} records behind: {}", partitions.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_that_is_behind_is_named_with_its_partitions() {
        assert_eq!(behind(Node::Lookup, &[(0, 0), (1, 0)]), None);
        let told = behind(Node::Lookup, &[(0, 3), (1, 0), (2, 4)]).unwrap_or_default();
        assert_eq!(told, "lookup is 7 records behind: 3 in partition 0, 4 in partition 2");
    }
}
