//! Send: takes due messages from the database, hands them to the channel, writes down how it went.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::failpoint::crash_point;
use chassis::http::problem::chain;
use chassis::http::trace::TraceContext;
use chassis::telemetry::{Kind, Span};
use chassis::{DbError, Lifecycle, SettingError};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::App;
use crate::channel::{Outcome, Webhook};
use crate::config::{ChannelKind, ChannelSettings};
use crate::domain::Notice;
use crate::store;
use crate::store::queue::{self, End, Tried};

/// A lost wake-up costs at most this, and so does a message that is due again.
const POLL: Duration = Duration::from_secs(1);
/// What nobody can be sent, and what a wrong clock has put off, is looked for so often.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// Messages that are written to the log in one transaction at most.
const LOG_BATCH: usize = 500;
/// Beyond the timeout of a try, before somebody else may take the message: what a dead sender had in hand waits for it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

pub struct Sender {
    app: App,
    lifecycle: Lifecycle,
    settings: ChannelSettings,
    /// Absent: the log is the channel.
    webhook: Option<Arc<Webhook>>,
    /// On their way: one that is slow keeps no place but its own.
    posting: JoinSet<(Notice, Outcome)>,
    /// Their numbers: should the clock say that one's time is over, it is not sent beside itself.
    under_way: HashSet<i64>,
    /// Ended, and not written down yet.
    tried: Vec<Tried>,
}

impl Sender {
    pub fn new(app: &App, lifecycle: &Lifecycle, settings: ChannelSettings) -> Result<Self, SettingError> {
        let webhook = match settings.kind {
            ChannelKind::Log => None,
            ChannelKind::Webhook => Some(Arc::new(Webhook::new(&settings)?)),
        };
        Ok(Self {
            app: app.clone(),
            lifecycle: lifecycle.clone(),
            settings,
            webhook,
            posting: JoinSet::new(),
            under_way: HashSet::new(),
            tried: Vec::new(),
        })
    }

    pub async fn run(mut self) -> Result<(), Infallible> {
        let (bell, lifecycle) = (self.app.bell.clone(), self.lifecycle.clone());
        let mut tidy_at = Instant::now();
        while !lifecycle.is_stopping() {
            if Instant::now() >= tidy_at {
                tidy_at = Instant::now() + TIDY_EVERY;
                self.report(&self.give_up_waiting().await);
                self.report(&self.recall().await);
            }
            let begun = self.turn().await;
            self.report(&begun);
            if self.webhook.is_none() && matches!(begun, Ok(1..)) {
                continue;
            }
            tokio::select! {
                true = self.next_end() => {}
                () = bell.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = lifecycle.stopping() => {}
            }
        }
        while !self.posting.is_empty() || !self.tried.is_empty() {
            self.next_end().await;
            let settled = self.settle().await;
            self.report(&settled);
            if settled.is_err() && self.posting.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn report<T>(&self, outcome: &Result<T, DbError>) {
        let Err(error) = outcome else { return self.lifecycle.is_well("database") };
        self.lifecycle.is_troubled("database", error);
        tracing::warn!(error = chain(error), "notices wait for the database");
    }

    /// Writes down what has ended and begins with what is due, as far as there is room; how many messages that were.
    pub async fn turn(&mut self) -> Result<usize, DbError> {
        match self.webhook.clone() {
            None => self.log_due().await,
            Some(webhook) => self.post_due(&webhook).await,
        }
    }

    /// Waits until one more message has arrived or has not; false if none is on its way.
    pub async fn next_end(&mut self) -> bool {
        let Some(first) = self.posting.join_next().await else { return false };
        let mut ended = Some(first);
        while let Some(next) = ended {
            match next {
                Ok((notice, outcome)) => {
                    self.under_way.remove(&notice.id);
                    self.tried.push(self.judge(&notice, outcome));
                }
                Err(crash) => std::panic::resume_unwind(crash.into_panic()),
            }
            ended = self.posting.try_join_next();
        }
        true
    }

    async fn log_due(&self) -> Result<usize, DbError> {
        let now_ms = self.app.clock.now_ms();
        let due = queue::due(&self.app.db, now_ms, LOG_BATCH).await?;
        crash_point("sender.before-mark");
        let sent = queue::mark_sent(&self.app.db, &due, now_ms).await?;
        crash_point("sender.after-mark");
        for (id, trace) in &sent {
            let step = step(*id, *trace, Kind::Internal);
            tracing::info!(notice.id = id, trace_id = step.context().trace(), "a notice was sent");
        }
        metrics::counter!("notices_sent_total", "outcome" => "sent").increment(sent.len() as u64);
        Ok(sent.len())
    }

    async fn post_due(&mut self, webhook: &Arc<Webhook>) -> Result<usize, DbError> {
        self.settle().await?;
        let free = self.settings.concurrency as usize - self.posting.len();
        if free == 0 {
            return Ok(0);
        }
        let mut due = queue::due_in_order(&self.app.db, self.app.clock.now_ms(), free).await?;
        due.retain(|due| !self.under_way.contains(&due.id));
        let until_ms = self.app.clock.now_ms() + millis(self.settings.timeout + LEASE_MARGIN);
        let claimed = queue::claim(&self.app.db, &due, until_ms).await?;
        if claimed.len() < due.len() {
            // Another replica was first; there may be more.
            self.app.bell.notify_one();
        }
        if claimed.is_empty() {
            return Ok(0);
        }
        crash_point("sender.after-claim");
        let (now, begun) = (self.app.clock.now(), claimed.len());
        for notice in claimed {
            self.under_way.insert(notice.id);
            let webhook = webhook.clone();
            self.posting.spawn(async move {
                let mut step = step(notice.id, notice.trace, Kind::Client);
                let outcome = webhook.post(&notice, now, step.context()).await;
                match &outcome {
                    Outcome::Delivered => {}
                    Outcome::Refused(_) => step.fail("refused"),
                    Outcome::NotNow(_) => step.fail("not_now"),
                }
                (notice, outcome)
            });
        }
        Ok(begun)
    }

    /// What cannot be written down now is kept for the next turn.
    async fn settle(&mut self) -> Result<(), DbError> {
        if self.tried.is_empty() {
            return Ok(());
        }
        crash_point("sender.before-settle");
        queue::settle(&self.app.db, self.tried.clone()).await?;
        crash_point("sender.after-settle");
        self.tried.clear();
        Ok(())
    }

    /// What becomes of a message after a try, and what is said of it: its number, never its content.
    fn judge(&self, notice: &Notice, outcome: Outcome) -> Tried {
        let now_ms = self.app.clock.now_ms();
        let trace_id = notice.trace.map(|trace| trace.trace());
        let count = |outcome: &'static str| metrics::counter!("notices_sent_total", "outcome" => outcome).increment(1);
        let end = match outcome {
            Outcome::Delivered => {
                self.lifecycle.is_well("channel");
                count("delivered");
                tracing::info!(notice.id = notice.id, trace_id, "a notice was delivered");
                End::Delivered { at_ms: now_ms }
            }
            Outcome::Refused(reason) => {
                count("refused");
                tracing::error!(notice.id = notice.id, trace_id, reason, "a notice was refused by its channel");
                End::GivenUp { reason }
            }
            Outcome::NotNow(reason) if self.is_last(notice, now_ms) => {
                count("given_up");
                tracing::error!(notice.id = notice.id, trace_id, reason, "a notice was given up");
                End::GivenUp { reason }
            }
            Outcome::NotNow(reason) => {
                self.lifecycle.is_troubled("channel", &reason);
                count("not_now");
                tracing::debug!(notice.id = notice.id, reason, "a notice will be sent later");
                End::Later { due_at: now_ms + millis(self.backoff(notice.attempts)), reason }
            }
        };
        Tried { id: notice.id, reservation_id: notice.reservation_id, attempt: notice.attempts, end }
    }

    fn is_last(&self, notice: &Notice, now_ms: i64) -> bool {
        notice.attempts >= i64::from(self.settings.max_attempts)
            || now_ms - notice.created_at >= millis(self.settings.max_age)
    }

    /// Doubles with each try up to the longest; at least half of it, so that not all come back at once.
    fn backoff(&self, attempts: i64) -> Duration {
        let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(30);
        let whole = self.settings.first_backoff.saturating_mul(1 << doublings).min(self.settings.longest_backoff);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Messages that are put off for longer than any is.
    pub async fn recall(&self) -> Result<(), DbError> {
        let now_ms = self.app.clock.now_ms();
        let longest = self.settings.longest_backoff.max(self.settings.timeout + LEASE_MARGIN);
        queue::recall(&self.app.db, now_ms, now_ms + millis(longest)).await
    }

    /// Messages whose recipient nobody has named for too long; how many.
    pub async fn give_up_waiting(&self) -> Result<u64, DbError> {
        let before = self.app.clock.now_ms() - millis(self.settings.max_age);
        let given_up = store::give_up_waiting(&self.app.db, before).await?;
        if given_up > 0 {
            metrics::counter!("notices_sent_total", "outcome" => "no_recipient").increment(given_up);
            tracing::error!(notices = given_up, "notices were given up: nobody is known to send them to");
        }
        Ok(given_up)
    }
}

/// The sending of a notice as a span of the trace of what it is about.
fn step(id: i64, trace: Option<TraceContext>, kind: Kind) -> Span {
    let mut span = Span::begin(kind, trace, || "send notice".to_owned());
    span.set("notice.id", id);
    span
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
