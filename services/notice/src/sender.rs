//! Send: takes due messages from the database, hands them to the channel, writes down how it went.

use std::convert::Infallible;
use std::time::Duration;

use chassis::failpoint::crash_point;
use chassis::http::problem::chain;
use chassis::http::trace::TraceContext;
use chassis::telemetry::{Kind, Span};
use chassis::{DbError, Lifecycle, SettingError};
use futures_util::future::join_all;
use rand::RngExt;
use tokio::time::Instant;

use crate::App;
use crate::channel::{Outcome, Webhook};
use crate::config::{ChannelKind, ChannelSettings};
use crate::domain::{Notice, State};
use crate::store::{self, Tried};

/// A lost wake-up costs at most this, and so does a message that is due again.
const POLL: Duration = Duration::from_secs(1);
const GIVE_UP_EVERY: Duration = Duration::from_secs(60);
/// Messages that are written to the log in one transaction at most.
const LOG_BATCH: i64 = 500;
/// Beyond the timeout of a try, before somebody else may take the message: what a dead sender had in hand waits for it.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

pub struct Sender {
    app: App,
    lifecycle: Lifecycle,
    settings: ChannelSettings,
    /// Absent: the log is the channel.
    webhook: Option<Webhook>,
}

impl Sender {
    pub fn new(app: &App, lifecycle: &Lifecycle, settings: ChannelSettings) -> Result<Self, SettingError> {
        let webhook = match settings.kind {
            ChannelKind::Log => None,
            ChannelKind::Webhook => Some(Webhook::new(&settings)?),
        };
        Ok(Self { app: app.clone(), lifecycle: lifecycle.clone(), settings, webhook })
    }

    pub async fn run(self) -> Result<(), Infallible> {
        let mut give_up_at = Instant::now();
        while !self.lifecycle.is_stopping() {
            if Instant::now() >= give_up_at {
                give_up_at = Instant::now() + GIVE_UP_EVERY;
                self.report(&self.give_up_waiting().await);
            }
            let sent = self.send_due().await;
            self.report(&sent);
            if matches!(sent, Ok(1..)) {
                continue;
            }
            tokio::select! {
                () = self.app.bell.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = self.lifecycle.stopping() => {}
            }
        }
        Ok(())
    }

    fn report<T>(&self, outcome: &Result<T, DbError>) {
        let Err(error) = outcome else { return self.lifecycle.is_well("database") };
        self.lifecycle.is_troubled("database", error);
        tracing::warn!(error = chain(error), "notices wait for the database");
    }

    /// No message is put off for longer than until then.
    fn latest_ms(&self, now_ms: i64) -> i64 {
        now_ms + millis(self.settings.longest_backoff.max(self.settings.timeout + LEASE_MARGIN))
    }

    /// One round; how many messages were tried.
    pub async fn send_due(&self) -> Result<usize, DbError> {
        match &self.webhook {
            None => self.log_due().await,
            Some(webhook) => self.post_due(webhook).await,
        }
    }

    async fn log_due(&self) -> Result<usize, DbError> {
        crash_point("sender.before-mark");
        let now_ms = self.app.clock.now_ms();
        let sent = store::mark_sent(&self.app.db, now_ms, self.latest_ms(now_ms), LOG_BATCH).await?;
        crash_point("sender.after-mark");
        for (id, trace) in &sent {
            let step = step(*id, *trace, Kind::Internal);
            tracing::info!(notice.id = id, trace_id = step.context().trace(), "a notice was sent");
        }
        metrics::counter!("notices_sent_total", "outcome" => "sent").increment(sent.len() as u64);
        Ok(sent.len())
    }

    async fn post_due(&self, webhook: &Webhook) -> Result<usize, DbError> {
        let now_ms = self.app.clock.now_ms();
        let until_ms = now_ms + millis(self.settings.timeout + LEASE_MARGIN);
        let (latest_ms, limit) = (self.latest_ms(now_ms), i64::from(self.settings.concurrency));
        let claimed = store::claim(&self.app.db, now_ms, until_ms, latest_ms, limit).await?;
        if claimed.is_empty() {
            return Ok(0);
        }
        crash_point("sender.after-claim");
        let now = self.app.clock.now();
        let posted = claimed.iter().map(|notice| async move {
            let mut step = step(notice.id, notice.trace, Kind::Client);
            let outcome = webhook.post(notice, now, step.context()).await;
            match &outcome {
                Outcome::Delivered => {}
                Outcome::Refused(_) => step.fail("refused"),
                Outcome::NotNow(_) => step.fail("not_now"),
            }
            outcome
        });
        let outcomes = join_all(posted).await;
        let tried: Vec<Tried> =
            claimed.iter().zip(outcomes).map(|(notice, outcome)| self.judge(notice, outcome)).collect();
        let count = tried.len();
        let later = tried.iter().filter(|tried| tried.state == State::Pending).count();
        if later > 0 {
            tracing::warn!(notices = later, "notices wait for their channel");
        }
        crash_point("sender.before-settle");
        store::settle(&self.app.db, tried).await?;
        crash_point("sender.after-settle");
        Ok(count)
    }

    /// What becomes of a message after a try, and what is said of it: its number, never its content.
    fn judge(&self, notice: &Notice, outcome: Outcome) -> Tried {
        let now_ms = self.app.clock.now_ms();
        let trace_id = notice.trace.map(|trace| trace.trace());
        let tried = |state: State, due_at: i64, failure: Option<String>| Tried {
            id: notice.id,
            attempt: notice.attempts,
            state,
            due_at,
            sent_at: (state == State::Delivered).then_some(now_ms),
            failure,
        };
        match outcome {
            Outcome::Delivered => {
                self.lifecycle.is_well("channel");
                metrics::counter!("notices_sent_total", "outcome" => "delivered").increment(1);
                tracing::info!(notice.id = notice.id, trace_id, "a notice was delivered");
                tried(State::Delivered, now_ms, None)
            }
            Outcome::Refused(reason) => {
                metrics::counter!("notices_sent_total", "outcome" => "refused").increment(1);
                tracing::error!(notice.id = notice.id, trace_id, reason, "a notice was refused by its channel");
                tried(State::Failed, now_ms, Some(reason))
            }
            Outcome::NotNow(reason) if self.is_last(notice, now_ms) => {
                metrics::counter!("notices_sent_total", "outcome" => "given_up").increment(1);
                tracing::error!(notice.id = notice.id, trace_id, reason, "a notice was given up");
                tried(State::Failed, now_ms, Some(reason))
            }
            Outcome::NotNow(reason) => {
                self.lifecycle.is_troubled("channel", &reason);
                metrics::counter!("notices_sent_total", "outcome" => "not_now").increment(1);
                tracing::debug!(notice.id = notice.id, reason, "a notice will be sent later");
                tried(State::Pending, now_ms + millis(self.backoff(notice.attempts)), Some(reason))
            }
        }
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
