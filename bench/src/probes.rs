//! Asks every service for its probes all the time, as a platform does, each over a new connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, Question, Target};
use crate::fleet::Fleet;

const EVERY: Duration = Duration::from_millis(250);
/// What Kubernetes waits for one unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub asked: u64,
    pub failed: u64,
    pub longest: Duration,
}

pub struct Probes {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Probes {
    pub fn start(fleet: &Fleet) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let services = fleet.services.iter().filter(|service| service.name != "kafka");
        let addresses: Vec<String> = services.map(|service| service.address.clone()).collect();
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                for address in &addresses {
                    for path in ["/actuator/health/liveness", "/actuator/health/readiness"] {
                        tokio::spawn(probe(address.clone(), path, noted.clone()));
                    }
                }
                sleep(EVERY).await;
            }
        });
        Self { seen, task }
    }

    pub fn stop(self) -> Seen {
        self.task.abort();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn probe(address: String, path: &str, seen: Arc<Mutex<Seen>>) {
    let started = Instant::now();
    let mut client = Client::new(&Target { address, token: String::new() });
    let answer = timeout(PATIENCE, client.ask(&Question::get(path))).await;
    let is_green = matches!(answer, Ok(Some(answer)) if answer.status == 200);
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.asked += 1;
    seen.failed += u64::from(!is_green);
    seen.longest = seen.longest.max(started.elapsed());
}
