//! Quiescence: nothing is on its way any more, so that what is there can be compared.

use std::time::{Duration, Instant};

use super::{Node, World, WorldError};

const POLL: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(90);

/// Where something may wait, and how much of it does.
const WAITING: [(Node, &str, &str); 5] = [
    (Node::Reservation, "in the outbox", "SELECT COUNT(*) FROM outbox"),
    (Node::Diagnosis, "in the outbox", "SELECT COUNT(*) FROM outbox"),
    (Node::Acceptance, "in the outbox", "SELECT COUNT(*) FROM outbox"),
    (
        Node::Reservation,
        "unsettled",
        "SELECT COUNT(*) FROM reservation WHERE state = 'PENDING' OR requested_change IS NOT NULL",
    ),
    (Node::Notice, "to be sent", "SELECT COUNT(*) FROM notice WHERE state = 'PENDING'"),
];

impl World {
    /// Waits until nothing is on its way, and says how long that took.
    pub async fn quiet(&self) -> Result<Duration, WorldError> {
        let started = Instant::now();
        loop {
            let unquiet = match self.what_is_on_its_way().await {
                Ok(None) => return Ok(started.elapsed()),
                Ok(Some(unquiet)) => unquiet,
                Err(error) => error.to_string(),
            };
            if started.elapsed() > PATIENCE {
                return Err(WorldError::failed(format!("not quiet after {} s: {unquiet}", PATIENCE.as_secs())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The first thing found that is not at rest.
    pub async fn what_is_on_its_way(&self) -> Result<Option<String>, WorldError> {
        let held_up = self.processes().find(|process| !process.is_held_down() && !process.is_ready());
        if let Some(process) = held_up {
            return Ok(Some(format!("{} is not ready", process.name())));
        }
        for (node, what, query) in WAITING {
            let (count,): (i64,) = sqlx::query_as(query).fetch_one(&self.database(node).await?).await?;
            if count > 0 {
                return Ok(Some(format!("{count} {what} of {node}")));
            }
        }
        for node in Node::CONSUMERS {
            let lag = self.lag(node).await?;
            if lag > 0 {
                return Ok(Some(format!("{node} is {lag} records behind")));
            }
        }
        Ok(None)
    }
}
