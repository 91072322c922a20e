//! The ledgers of the five services, read page by page.

use std::collections::VecDeque;
use std::time::Duration;

use chassis::client::Credentials;
use chassis::http::problem::chain;
use contracts::ledger::{BillEntry, NoticeEntry, PATH, ReservationEntry, Salt, ViewEntry, VisitEntry};
use serde::de::DeserializeOwned;

use crate::compare::Account;
use crate::{Config, Services};

const PAGE: i64 = 500;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A service has not said what it knows.
#[derive(Debug, thiserror::Error)]
#[error("{service} at {url} cannot be compared: {reason}")]
pub struct Unavailable {
    pub service: &'static str,
    pub url: String,
    pub reason: String,
}

pub struct Ledgers {
    http: reqwest::Client,
    services: Services,
    token: Option<String>,
    credentials: Option<Credentials>,
    salt: Salt,
}

impl Ledgers {
    pub fn new(config: Config) -> Self {
        let token = config.access.token.reveal();
        Self {
            http: reqwest::Client::new(),
            token: (!token.is_empty()).then(|| token.to_owned()),
            credentials: Credentials::new(config.credentials),
            services: config.services,
            salt: Salt { salt: Some(format!("{:032x}", rand::random::<u128>())) },
        }
    }

    async fn page<T: DeserializeOwned>(
        &self,
        service: &'static str,
        url: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<T>, Unavailable> {
        let unavailable = |reason: String| Unavailable { service, url: url.to_owned(), reason };
        let token = match (&self.token, &self.credentials) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(credentials)) => Some(credentials.token().await.map_err(unavailable)?),
            (None, None) => None,
        };
        let query = [("after", after), ("limit", limit)];
        let mut request = self.http.get(format!("{url}{PATH}")).query(&query).query(&self.salt).timeout(TIMEOUT);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = async { request.send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| unavailable(chain(&error.without_url())))
    }

    /// What all say of one reservation now.
    pub async fn account(&self, id: i64) -> Result<Account, Unavailable> {
        let mut shelves = Shelves::after(self, id - 1, 1);
        shelves.fill().await?;
        Ok(shelves.take(id))
    }

    pub fn shelves(&self, after: i64) -> Shelves<'_> {
        Shelves::after(self, after, PAGE)
    }
}

/// An entry of any of the ledgers.
trait Entry: DeserializeOwned {
    const SERVICE: &'static str;
    fn url(services: &Services) -> &str;
    fn reservation_id(&self) -> i64;
}

macro_rules! entries {
    ($($entry:ident of $service:ident),+) => {$(
        impl Entry for $entry {
            const SERVICE: &'static str = stringify!($service);

            fn url(services: &Services) -> &str {
                services.$service.trim_end_matches('/')
            }

            fn reservation_id(&self) -> i64 {
                self.reservation_id
            }
        }
    )+};
}

entries!(
    ReservationEntry of reservation,
    VisitEntry of diagnosis,
    BillEntry of acceptance,
    NoticeEntry of notice,
    ViewEntry of lookup
);

/// One ledger from some reservation on, of which one page is in memory.
struct Shelf<T> {
    entries: VecDeque<T>,
    after: i64,
    is_read: bool,
}

impl<T: Entry> Shelf<T> {
    fn after(after: i64) -> Self {
        Self { entries: VecDeque::new(), after, is_read: false }
    }

    async fn fill(&mut self, ledgers: &Ledgers, limit: i64) -> Result<(), Unavailable> {
        if !self.entries.is_empty() || self.is_read {
            return Ok(());
        }
        self.entries = ledgers.page(T::SERVICE, T::url(&ledgers.services), self.after, limit).await?.into();
        match self.entries.back() {
            Some(last) => self.after = last.reservation_id(),
            None => self.is_read = true,
        }
        Ok(())
    }

    fn next_id(&self) -> Option<i64> {
        self.entries.front().map(T::reservation_id)
    }

    fn take(&mut self, id: i64) -> Option<T> {
        self.entries.pop_front_if(|entry| entry.reservation_id() == id)
    }
}

/// All five ledgers side by side.
pub struct Shelves<'a> {
    ledgers: &'a Ledgers,
    limit: i64,
    reservations: Shelf<ReservationEntry>,
    visits: Shelf<VisitEntry>,
    bills: Shelf<BillEntry>,
    notices: Shelf<NoticeEntry>,
    views: Shelf<ViewEntry>,
}

impl<'a> Shelves<'a> {
    fn after(ledgers: &'a Ledgers, after: i64, limit: i64) -> Self {
        Self {
            ledgers,
            limit,
            reservations: Shelf::after(after),
            visits: Shelf::after(after),
            bills: Shelf::after(after),
            notices: Shelf::after(after),
            views: Shelf::after(after),
        }
    }

    async fn fill(&mut self) -> Result<(), Unavailable> {
        tokio::try_join!(
            self.reservations.fill(self.ledgers, self.limit),
            self.visits.fill(self.ledgers, self.limit),
            self.bills.fill(self.ledgers, self.limit),
            self.notices.fill(self.ledgers, self.limit),
            self.views.fill(self.ledgers, self.limit),
        )?;
        Ok(())
    }

    /// The next reservation that anyone knows.
    pub async fn next(&mut self) -> Result<Option<(i64, Account)>, Unavailable> {
        self.fill().await?;
        let next = [
            self.reservations.next_id(),
            self.visits.next_id(),
            self.bills.next_id(),
            self.notices.next_id(),
            self.views.next_id(),
        ];
        let next = next.into_iter().flatten().min();
        Ok(next.map(|id| (id, self.take(id))))
    }

    fn take(&mut self, id: i64) -> Account {
        Account {
            reservation: self.reservations.take(id),
            visit: self.visits.take(id),
            bill: self.bills.take(id),
            notices: self.notices.take(id),
            view: self.views.take(id),
        }
    }
}
