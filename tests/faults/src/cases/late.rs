//! Requests that arrive when nobody waits for them any more.

use std::time::{Duration, Instant};

use crate::clients::Habits;
use crate::trial::Trial;
use crate::world::{Fault, Node, WorldError};

/// Fewer than it takes to open reservation's circuit breaker.
const CLIENTS: usize = 8;
/// For the cancellations to arrive. A server closes a connection that has said nothing for 10 s, and what is held
/// must come before that.
const PATIENCE: Duration = Duration::from_secs(4);
/// For what comes late to be answered; it is waited for longer where nothing was answered yet.
const ARRIVAL: Duration = Duration::from_secs(1);
/// On a slow machine all that was held may come too late for the server; then it is tried again.
const MOST_ROUNDS: usize = 10;

/// Whoever asked has given up and the reservation is cancelled before diagnosis hears of it for the first time.
pub async fn requests(trial: &mut Trial) -> Result<(), WorldError> {
    let link = trial.world.link(Node::Reservation, Node::Diagnosis)?.clone();
    let wanted = if trial.is_long { 8 } else { 2 };
    let (mut late, mut rounds) = (0, 0);
    while rounds < wanted || (late == 0 && rounds < MOST_ROUNDS) {
        rounds += 1;
        link.set(Fault::HoldRequests);
        let crowd = trial.crowd(&Habits { racing: 100, impatient: 0, ..Habits::usual(CLIENTS) }).await?;
        tokio::time::sleep(ARRIVAL).await;
        // Each waits for its answer, which is that nobody knows, or that it was cancelled meanwhile.
        crowd.leave().await;
        until_canceled(trial).await?;
        let before = asked(trial).await?;
        trial.heal();
        late += came_late(trial, before).await?;
        trial.judge().await?;
    }
    trial.note(format!("{late} requests came late"));
    if late == 0 {
        trial.proves_nothing("no request came late");
    }
    Ok(())
}

/// Until diagnosis has taken in all that reservation has to say.
async fn until_canceled(trial: &Trial) -> Result<(), WorldError> {
    let started = Instant::now();
    let pool = trial.world.database(Node::Reservation).await?;
    while started.elapsed() < PATIENCE {
        let (waiting,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM outbox").fetch_one(&pool).await?;
        if waiting == 0 && trial.world.lag(Node::Diagnosis).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How many requests have come beyond those before.
async fn came_late(trial: &Trial, before: u64) -> Result<u64, WorldError> {
    let started = Instant::now();
    loop {
        tokio::time::sleep(ARRIVAL).await;
        let late = asked(trial).await?.saturating_sub(before);
        if late > 0 || started.elapsed() > PATIENCE {
            return Ok(late);
        }
    }
}

/// How often diagnosis has been asked to accept a visit, by its own count.
async fn asked(trial: &Trial) -> Result<u64, WorldError> {
    let mut asked = 0;
    for process in trial.world.service(Node::Diagnosis) {
        let metrics = process.metrics().await?;
        asked += metrics.lines().filter_map(accepting).sum::<u64>();
    }
    Ok(asked)
}

/// What a line of the metrics counts of such requests.
fn accepting(line: &str) -> Option<u64> {
    let labels = line.strip_prefix("http_server_request_duration_seconds_count{")?;
    let is_meant = labels.contains("http_request_method=\"POST\"") && labels.contains("http_route=\"/medicalRecords\"");
    labels.rsplit(' ').next()?.parse().ok().filter(|_| is_meant)
}

#[cfg(test)]
mod tests {
    use super::accepting;

    #[test]
    fn only_requests_to_accept_a_visit_are_counted() {
        let line = |route: &str, method: &str| {
            let labels = format!("http_request_method=\"{method}\",http_route=\"{route}\"");
            format!("http_server_request_duration_seconds_count{{{labels},http_response_status_code=\"409\"}} 7")
        };
        assert_eq!(accepting(&line("/medicalRecords", "POST")), Some(7));
        assert_eq!(accepting(&line("/medicalRecords", "GET")), None);
        assert_eq!(accepting(&line("/medicalRecords/{id}", "POST")), None);
    }
}
