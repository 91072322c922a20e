//! A visit from its reservation to its cancellation, as it must go in a fleet that is well again.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::wire::{Request, Wire};
use super::{NAME_MARK, PHONE_MARK};
use crate::history::{Action, History};

/// What it is called among the clients.
pub const CHECK_UP: &str = "check-up";
const DATE: &str = "2030-06-01";
/// For the view to show it.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct CheckUp {
    wire: Wire,
    token: String,
    visit: String,
    phone: String,
}

impl CheckUp {
    /// `number` makes it another visit than every other.
    pub fn new(gateway: &str, history: &History, token: String, number: usize) -> Self {
        Self {
            wire: Wire::new(gateway.to_owned(), history.clone(), CHECK_UP.to_owned()),
            token,
            visit: format!("{NAME_MARK}-check-up-{number}"),
            phone: format!("{PHONE_MARK}{:03}-{:04}", number / 10_000 % 1000, number % 10_000),
        }
    }

    /// What did not go as it must.
    pub async fn run(&self) -> Result<(), String> {
        let body = json!({"reservatorName": self.visit, "reservationDate": DATE, "phoneNumber": self.phone});
        let action = Action::Reserve { date: DATE.to_owned(), phone: self.phone.clone() };
        let reserved = self.ask(Method::POST, "/reservations".to_owned(), Some(body), action, 201).await?;
        let id = reserved["id"].as_i64().ok_or("its reservation was answered without an id")?;
        let path = format!("/reservations/{id}");
        self.ask(Method::GET, path.clone(), None, Action::Read { reservation: id }, 200).await?;
        self.until_shown(id).await?;
        self.ask(Method::DELETE, path, None, Action::Cancel { reservation: id }, 204).await?;
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        path: String,
        body: Option<Value>,
        action: Action,
        wanted: u16,
    ) -> Result<Value, String> {
        let what = format!("{method} {path}");
        let key = matches!(action, Action::Reserve { .. }).then_some(self.visit.as_str());
        let request = Request { method, path, token: &self.token, key, body };
        let outcome = self.wire.send(&self.visit, action, request, None).await;
        outcome.ok_with(wanted).cloned().ok_or_else(|| format!("{what} came to {outcome:?}"))
    }

    async fn until_shown(&self, id: i64) -> Result<(), String> {
        let asked = Instant::now();
        while self.wire.look(&format!("/reservationStats/{id}"), &self.token).await.is_none() {
            if asked.elapsed() > SHOWN_WITHIN {
                return Err(format!("the view does not show reservation {id}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
