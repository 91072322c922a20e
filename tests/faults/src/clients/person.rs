//! A client that wants visits for its animals, each under a name that nobody else has.

use std::collections::VecDeque;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::wire::{Request, Wire};
use super::{Habits, NAME_MARK, PHONE_MARK, Target};
use crate::history::{Action, History, Outcome};

/// Reservations that a client still cares about.
const REMEMBERED: usize = 12;
/// How often a request without an answer is repeated with its key.
const RETRIES: usize = 4;
const RETRY_PAUSE: Duration = Duration::from_millis(150);
/// Before each look for a reservation that is being made: it may not be written down yet.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(10), Duration::from_millis(40)];

pub struct Person {
    name: String,
    round: usize,
    number: usize,
    wishes: usize,
    wire: Wire,
    target: Target,
    habits: Habits,
    rng: StdRng,
    reserved: VecDeque<(String, i64)>,
}

/// A visit that is wanted.
#[derive(Clone)]
struct Wish {
    name: String,
    phone: String,
    date: String,
    key: Option<String>,
}

impl Person {
    pub fn new(
        name: String,
        round: usize,
        number: usize,
        target: Target,
        history: History,
        habits: Habits,
        rng: StdRng,
    ) -> Self {
        let wire = Wire::new(target.gateway.clone(), history, name.clone());
        Self { name, round, number, wishes: 0, wire, target, habits, rng, reserved: VecDeque::new() }
    }

    pub async fn live(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            self.act().await;
            let pause = self.rng.random_range(self.habits.pause.clone());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    async fn act(&mut self) {
        let choice = self.rng.random_range(0..100);
        let known = self.one_of_mine();
        let date = self.some_date();
        match (choice, known) {
            (0..50, _) | (_, None) => self.reserve().await,
            (50..62, Some((visit, id))) => self.change_date(&visit, id, date).await,
            (62..70, Some((visit, id))) => self.cancel(&visit, id).await,
            (70..84, Some((visit, id))) => self.pay(&visit, id).await,
            (84..88, Some((visit, id))) => self.refund(&visit, id).await,
            (88..92, Some((visit, id))) => {
                let cancel = self.cancel(&visit, id);
                let change = self.change_date(&visit, id, date);
                tokio::join!(cancel, change);
            }
            (_, Some((visit, id))) => self.read(&visit, id).await,
        }
    }

    async fn reserve(&mut self) {
        let wish = self.wish();
        let choice = self.rng.random_range(0..100);
        let leaves_after = Duration::from_micros(self.rng.random_range(0..60_000));
        let (impatient, racing) = (self.habits.impatient, self.habits.racing);
        let outcome = if choice < impatient {
            self.post(&wish, Some(leaves_after)).await
        } else if choice < impatient + racing {
            tokio::join!(self.post(&wish, None), self.cancel_pending(&wish.name)).0
        } else if choice < impatient + racing + 10 && wish.key.is_some() {
            tokio::join!(self.post(&wish, None), self.post(&wish, None)).0
        } else {
            self.post(&wish, None).await
        };
        self.follow_up(wish, outcome).await;
    }

    /// An answer that did not come is asked for again, where there is a key; and sometimes one that did.
    async fn follow_up(&mut self, wish: Wish, mut outcome: Outcome) {
        let gives_up = self.rng.random_range(0..100) < 20;
        let changes_its_mind = self.rng.random_range(0..100) < 10;
        let asks_again = self.rng.random_range(0..100) < 5;
        for _ in 0..RETRIES {
            let is_open = outcome.is_unknown()
                || matches!(&outcome, Outcome::Refused { kind, .. } if kind == "request-in-progress");
            if !is_open || wish.key.is_none() || gives_up {
                break;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            outcome = self.post(&wish, None).await;
        }
        let Outcome::Ok { body, .. } = &outcome else { return };
        let Some(id) = body["id"].as_i64() else { return };
        if changes_its_mind {
            return self.cancel(&wish.name, id).await;
        }
        if asks_again && wish.key.is_some() {
            self.post(&wish, None).await;
        }
        self.reserved.push_back((wish.name, id));
        if self.reserved.len() > REMEMBERED {
            self.reserved.pop_front();
        }
    }

    fn wish(&mut self) -> Wish {
        self.wishes += 1;
        let name = format!("{NAME_MARK}-{}-{}", self.name, self.wishes);
        // Seven digits of its own: of the crowd, the client and the wish.
        let number = (self.round % 20) * 500_000 + (self.number % 50) * 10_000 + self.wishes % 10_000;
        let phone = format!("{PHONE_MARK}{:03}-{:04}", number / 10_000 % 1000, number % 10_000);
        let date = self.some_date();
        let key = (self.rng.random_range(0..100) < 70).then(|| format!("key-{name}"));
        Wish { name, phone, date, key }
    }

    fn some_date(&mut self) -> String {
        format!("2030-{:02}-{:02}", self.rng.random_range(1..=12), self.rng.random_range(1..=28))
    }

    fn one_of_mine(&mut self) -> Option<(String, i64)> {
        if self.reserved.is_empty() {
            return None;
        }
        let place = self.rng.random_range(0..self.reserved.len());
        self.reserved.get(place).cloned()
    }

    async fn post(&self, wish: &Wish, leaves_after: Option<Duration>) -> Outcome {
        let action = Action::Reserve { date: wish.date.clone(), phone: wish.phone.clone() };
        let body = json!({"reservatorName": wish.name, "reservationDate": wish.date, "phoneNumber": wish.phone});
        let request = Request {
            method: Method::POST,
            path: "/reservations".to_owned(),
            token: &self.target.customer,
            key: wish.key.as_deref(),
            body: Some(body),
        };
        self.wire.send(&wish.name, action, request, leaves_after).await
    }

    async fn change_date(&self, visit: &str, id: i64, date: String) {
        let body = json!({"reservationDate": date});
        let request = self.about(Method::PATCH, id, Some(body));
        self.wire.send(visit, Action::ChangeDate { reservation: id, date }, request, None).await;
    }

    async fn cancel(&self, visit: &str, id: i64) {
        let request = self.about(Method::DELETE, id, None);
        self.wire.send(visit, Action::Cancel { reservation: id }, request, None).await;
    }

    async fn read(&self, visit: &str, id: i64) {
        self.wire.send(visit, Action::Read { reservation: id }, self.about(Method::GET, id, None), None).await;
    }

    fn about(&self, method: Method, id: i64, body: Option<Value>) -> Request<'_> {
        Request { method, path: format!("/reservations/{id}"), token: &self.target.customer, key: None, body }
    }

    /// Finds a reservation that is just being made, and cancels it before its maker knows of it.
    async fn cancel_pending(&self, visit: &str) {
        for pause in LOOKS {
            tokio::time::sleep(pause).await;
            let page = self.wire.look("/reservations?state=PENDING&sort=id,desc&size=50", &self.target.customer).await;
            let rows = page.as_ref().and_then(|page| page["_embedded"]["reservations"].as_array());
            let mine = rows.into_iter().flatten().find(|row| row["reservatorName"] == visit);
            if let Some(id) = mine.and_then(|row| row["id"].as_i64()) {
                return self.cancel(visit, id).await;
            }
        }
    }

    async fn bill_of(&self, id: i64) -> Option<i64> {
        let page = self.wire.look(&format!("/financialManagements?reservationId={id}"), &self.target.desk).await?;
        page["_embedded"]["financialManagements"][0]["id"].as_i64()
    }

    /// Paid with a key; without an answer it is asked once more.
    async fn pay(&self, visit: &str, id: i64) {
        let Some(bill) = self.bill_of(id).await else { return };
        let key = format!("pay-{visit}");
        for _ in 0..2 {
            let request = Request {
                method: Method::POST,
                path: format!("/financialManagements/{bill}/pay"),
                token: &self.target.customer,
                key: Some(&key),
                body: Some(json!({"method": "card"})),
            };
            let outcome = self.wire.send(visit, Action::Pay { reservation: id, bill }, request, None).await;
            if !outcome.is_unknown() {
                return;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn refund(&self, visit: &str, id: i64) {
        let Some(bill) = self.bill_of(id).await else { return };
        let request = Request {
            method: Method::POST,
            path: format!("/financialManagements/{bill}/refund"),
            token: &self.target.desk,
            key: None,
            body: None,
        };
        self.wire.send(visit, Action::Refund { reservation: id, bill }, request, None).await;
    }
}
