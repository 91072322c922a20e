//! Calls to another service: deadline, bounded retries, circuit breaker, bounded concurrency, trace and token.
//!
//! Only idempotent requests are sent this way. The outcome says what is known: answered, certainly not done,
//! or unknown; a caller that promises something builds on the difference.

mod breaker;
mod credentials;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use rand::RngExt;
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(crate) use credentials::grant;
pub use credentials::{Credentials, CredentialsSettings};

use crate::SettingError;
use crate::config::duration;
use crate::failpoint::crash_point;
use crate::http::admission::{Place, Places};
use crate::http::edge::known;
use crate::http::extract::TIMEOUT_HEADER;
use crate::http::problem::{MEDIA_TYPE, chain};
use crate::http::trace::{TRACEPARENT, TraceContext};
use crate::telemetry::{Kind, Span};
use breaker::Breaker;

/// Below the servers' own limit for idle connections, so that none is used that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_TRIES: u32 = 3;
/// A retry costs one, a call earns this much: at most a fifth more traffic.
const EARNED_PER_CALL: f64 = 0.2;
const MOST_SAVED: f64 = 10.0;
/// Said by a server that has refused before doing anything.
pub const NOT_DONE_HEADER: &str = "x-not-done";

/// The section of a service's settings that says how to call another.
#[derive(Debug, Clone, Deserialize)]
pub struct ClientSettings {
    pub url: String,
    #[serde(deserialize_with = "duration")]
    pub try_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub total_timeout: Duration,
    pub max_concurrency: usize,
}

/// An answer that was given, whatever it says.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub is_problem: bool,
    /// An earlier try may have been heard, so that this answer is not about the first of them.
    pub follows_silence: bool,
    pub body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The other side has certainly done nothing.
    #[error("not done: {0}")]
    NotDone(String),
    /// It may or may not have been done.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// Leave to make one call: it has its place among those that may be made at once.
pub struct Leave {
    client: Client,
    _place: Place,
}

struct Inner {
    target: &'static str,
    settings: ClientSettings,
    http: reqwest::Client,
    credentials: Option<Credentials>,
    breaker: Breaker,
    breaker_shed: Counter,
    places: Places,
    retry_budget: Mutex<f64>,
}

impl Client {
    /// `target` is the other service's name, in metrics and as the section of its settings.
    pub fn new(
        target: &'static str,
        settings: ClientSettings,
        credentials: Option<Credentials>,
    ) -> Result<Self, SettingError> {
        let wrong = |problem: String| SettingError::new(&format!("{target}.url"), problem);
        reqwest::Url::parse(&settings.url).map_err(|error| wrong(error.to_string()))?;
        let http = reqwest::Client::builder()
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .no_proxy()
            // A page that somebody else is sent on to says nothing about what was asked.
            .redirect(Policy::none())
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let breaker_shed = metrics::counter!("requests_shed_total", "limit" => format!("breaker-{target}"));
        breaker_shed.absolute(0);
        let places = Places::new(&format!("calls-{target}"), settings.max_concurrency);
        let breaker = Breaker::new(target);
        let retry_budget = Mutex::new(MOST_SAVED);
        Ok(Self {
            inner: Arc::new(Inner { target, settings, http, credentials, breaker, breaker_shed, places, retry_budget }),
        })
    }

    /// Leave to make one call, or the news that it would be refused: for callers who then need not begin at all.
    pub fn leave(&self) -> Result<Leave, CallError> {
        if self.inner.breaker.is_open() {
            return Err(self.refused_by_breaker());
        }
        let Some(place) = self.inner.places.enter() else {
            return Err(CallError::NotDone("too many calls at once".to_owned()));
        };
        Ok(Leave { client: self.clone(), _place: place })
    }

    /// Sends a request that may be sent again without harm.
    pub async fn send_idempotent(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer, CallError> {
        self.leave()?.send_idempotent(method, path, body).await
    }

    async fn send_until(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        started: Instant,
    ) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::NotDone(error.to_string()))?;
        let body = Bytes::from(body);
        let deadline = started + self.inner.settings.total_timeout;
        self.earn();
        let mut may_be_done = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.attempt(&method, path, body.clone(), deadline).await {
                Ok(answer) => return Ok(Answer { follows_silence: may_be_done, ..answer }),
                Err(failure) => failure,
            };
            may_be_done |= matches!(failure, CallError::Unknown(_));
            let backoff = FIRST_BACKOFF * 2u32.pow(tries - 1);
            let pause = backoff.mul_f64(rand::rng().random::<f64>());
            let in_time = Instant::now() + pause < deadline;
            if tries == MAX_TRIES || !in_time || !self.spend() {
                return Err(known_after_all(failure, may_be_done));
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, method: &Method, path: &str, body: Bytes, deadline: Instant) -> Result<Answer, CallError> {
        let inner = &self.inner;
        let token = match &inner.credentials {
            Some(credentials) => Some(token_in_time(credentials, deadline).await?),
            None => None,
        };
        // After the token: whoever issues it may be sick while the other side is well.
        let Some(probe) = inner.breaker.admit() else {
            return Err(self.refused_by_breaker());
        };
        let timeout = inner.settings.try_timeout.min(deadline.saturating_duration_since(Instant::now()));
        let mut request = inner
            .http
            .request(method.clone(), format!("{}{path}", inner.settings.url))
            .timeout(timeout)
            .header("content-type", "application/json")
            .header(TIMEOUT_HEADER, timeout.as_millis().to_string())
            .body(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let mut step = Span::begin(Kind::Client, TraceContext::current(), || format!("{method} {}", inner.target));
        step.set("http.request.method", known(method));
        step.set("peer.service", inner.target);
        let request = request.header(TRACEPARENT, step.context().to_string());
        crash_point("client.before-call");
        let outcome = read_answer(request.send().await).await;
        crash_point("client.after-answer");
        match &outcome {
            Ok(answer) => step.answered(answer.status.as_u16()),
            Err(CallError::NotDone(_)) => step.fail("not_done"),
            Err(CallError::Unknown(_)) => step.fail("unknown"),
        }
        probe.done(outcome.is_ok());
        outcome
    }

    fn refused_by_breaker(&self) -> CallError {
        self.inner.breaker_shed.increment(1);
        CallError::NotDone("the circuit breaker is open".to_owned())
    }

    fn earn(&self) {
        let mut budget = self.inner.retry_budget.lock().unwrap_or_else(PoisonError::into_inner);
        *budget = (*budget + EARNED_PER_CALL).min(MOST_SAVED);
    }

    fn spend(&self) -> bool {
        let mut budget = self.inner.retry_budget.lock().unwrap_or_else(PoisonError::into_inner);
        let affordable = *budget >= 1.0;
        if affordable {
            *budget -= 1.0;
        }
        affordable
    }
}

impl Leave {
    /// Sends a request that may be sent again without harm.
    pub async fn send_idempotent(self, method: Method, path: &str, body: &impl Serialize) -> Result<Answer, CallError> {
        let started = Instant::now();
        let outcome = self.client.send_until(method.clone(), path, body, started).await;
        let (status, error) = match &outcome {
            Ok(answer) => (answer.status.as_u16().to_string(), ""),
            Err(CallError::NotDone(_)) => (String::new(), "not_done"),
            Err(CallError::Unknown(_)) => (String::new(), "unknown"),
        };
        metrics::histogram!(
            "http_client_request_duration_seconds",
            "peer_service" => self.client.inner.target,
            "http_request_method" => known(&method),
            "http_response_status_code" => status,
            "error_type" => error
        )
        .record(started.elapsed());
        outcome
    }
}

async fn token_in_time(credentials: &Credentials, deadline: Instant) -> Result<String, CallError> {
    tokio::time::timeout_at(deadline, credentials.token())
        .await
        .unwrap_or_else(|_| Err("no service token came in time".to_owned()))
        .map_err(CallError::NotDone)
}

/// A later try that certainly did nothing does not undo what an earlier one may have done.
fn known_after_all(last: CallError, may_be_done: bool) -> CallError {
    match last {
        CallError::NotDone(reason) if may_be_done => CallError::Unknown(reason),
        other => other,
    }
}

async fn read_answer(sent: Result<reqwest::Response, reqwest::Error>) -> Result<Answer, CallError> {
    let response = sent.map_err(|error| {
        // Nothing was sent over a connection that was never made.
        let never_sent = error.is_connect();
        let reason = chain(&error.without_url());
        if never_sent { CallError::NotDone(reason) } else { CallError::Unknown(reason) }
    })?;
    let status = response.status();
    if status.is_server_error() {
        let reason = format!("it answered {status}");
        let not_done = response.headers().contains_key(NOT_DONE_HEADER);
        return Err(if not_done { CallError::NotDone(reason) } else { CallError::Unknown(reason) });
    }
    let is_problem = response.headers().get("content-type").is_some_and(|media| media == MEDIA_TYPE);
    let body = response.bytes().await.map_err(|error| CallError::Unknown(chain(&error.without_url())))?;
    Ok(Answer { status, is_problem, follows_silence: false, body })
}
