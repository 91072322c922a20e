//! The fleet's clients: they want visits, change their minds, lose patience, and write down what they were told.

mod checkup;
mod intruder;
mod person;
mod wire;

use std::ops::Range;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::History;
pub use checkup::{CHECK_UP, CheckUp};
pub use intruder::forged;
use person::Person;
pub use wire::Wire;

/// What every name of a client's begins with: where it is found that should not be personal, something has leaked.
pub const NAME_MARK: &str = "Faultwell";
/// And every phone number.
pub const PHONE_MARK: &str = "010-9";

/// Where clients send their requests, and by which right.
#[derive(Debug, Clone)]
pub struct Target {
    pub gateway: String,
    pub customer: String,
    pub desk: String,
    /// Tokens that nobody may accept.
    pub bad: Vec<String>,
}

/// How many clients there are and how they behave.
#[derive(Debug, Clone)]
pub struct Habits {
    pub clients: usize,
    /// Between two wishes of a client.
    pub pause: Range<Duration>,
    /// How often, in a hundred, a client goes away before its answer.
    pub impatient: u32,
    /// How often a reservation is cancelled while it is being made.
    pub racing: u32,
    /// Whether there is a client with bad tokens among them.
    pub intruder: bool,
}

impl Habits {
    pub fn usual(clients: usize) -> Self {
        let pause = Duration::from_millis(5)..Duration::from_millis(60);
        Self { clients, pause, impatient: 10, racing: 8, intruder: true }
    }
}

/// Clients at work, until they are told to leave.
pub struct Crowd {
    stop: watch::Sender<bool>,
    people: JoinSet<()>,
}

impl Crowd {
    /// `round` makes the names of this crowd's visits differ from those of another.
    pub fn enter(target: &Target, history: &History, habits: &Habits, round: usize, seed: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut people = JoinSet::new();
        for number in 0..habits.clients {
            let name = format!("{round}-{number}");
            let rng = StdRng::seed_from_u64(seed ^ ((round as u64) << 32) ^ number as u64);
            let person = Person::new(name, round, number, target.clone(), history.clone(), habits.clone(), rng);
            people.spawn(person.live(stopped.clone()));
        }
        if habits.intruder {
            let wire = Wire::new(target.gateway.clone(), history.clone(), format!("{round}-intruder"));
            people.spawn(intruder::intrude(wire, target.bad.clone(), stopped));
        }
        Self { stop, people }
    }

    /// Each client ends what it is at; nobody is cut off.
    pub async fn leave(self) {
        self.stop.send_replace(true);
        self.people.join_all().await;
    }
}
