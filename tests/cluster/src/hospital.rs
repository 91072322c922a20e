//! The hospital through its gateway, with a customer's token that is renewed in time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::Way;

/// Shorter than any token lives.
const TOKEN_RENEWED_AFTER: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no answer to {request}")]
    NoAnswer { request: String, source: reqwest::Error },
    #[error("{request} answered {status}: {body}")]
    Status { request: String, status: StatusCode, body: Value },
    #[error("{0}")]
    Unexpected(String),
}

pub struct Hospital {
    way: Way,
    /// Keeps its connections.
    keeping: Client,
    /// Makes a new one for each request.
    fresh: Client,
    token: Mutex<Option<(String, Instant)>>,
    repeated: AtomicU64,
}

impl Hospital {
    pub fn new(way: Way) -> Self {
        let client =
            |idle: usize| Client::builder().timeout(PATIENCE).pool_max_idle_per_host(idle).build().unwrap_or_default();
        Self {
            way,
            keeping: client(usize::MAX),
            fresh: client(0),
            token: Mutex::new(None),
            repeated: AtomicU64::new(0),
        }
    }

    async fn token(&self) -> Result<String, Error> {
        // One asks and the others wait for it: logging in is made to be slow.
        let mut kept = self.token.lock().await;
        if let Some((token, since)) = kept.as_ref()
            && since.elapsed() < TOKEN_RENEWED_AFTER
        {
            return Ok(token.clone());
        }
        let answer = self.new_token(&self.keeping).await?;
        let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        *kept = Some((token.clone(), Instant::now()));
        Ok(token)
    }

    async fn new_token(&self, client: &Client) -> Result<Value, Error> {
        let form = [
            ("grant_type", "password"),
            ("client_id", "fleet"),
            ("username", &self.way.user),
            ("password", &self.way.password),
        ];
        let request = |client: &Client| client.post(format!("{}/oauth/token", self.way.gateway)).form(&form);
        self.answer("POST /oauth/token", client, request).await
    }

    /// As one who comes anew: the token that the others use stays.
    pub async fn log_in(&self) -> Result<Value, Error> {
        self.new_token(&self.fresh).await
    }

    /// An answer of success, or what came instead.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.send_by(&self.keeping, method, path, body).await
    }

    /// Over a connection of its own.
    pub async fn send_alone(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.send_by(&self.fresh, method, path, body).await
    }

    async fn send_by(&self, client: &Client, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let (token, key) = (self.token().await?, Uuid::new_v4().to_string());
        let request = |client: &Client| {
            let mut request = client.request(method.clone(), format!("{}{path}", self.way.gateway)).bearer_auth(&token);
            if method == Method::POST {
                request = request.header("idempotency-key", &key);
            }
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.answer(&format!("{method} {path}"), client, request).await
    }

    /// A kept connection may be closed at the very moment when it is used, as HTTP allows; what may be repeated is
    /// then sent once more on a new one (RFC 9110, 9.2.2), and counted.
    async fn answer(
        &self,
        request_line: &str,
        client: &Client,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Value, Error> {
        let is_kept = std::ptr::eq(client, &self.keeping);
        match answer(request_line, request(client)).await {
            Err(Error::NoAnswer { source, .. })
                if is_kept && source.is_request() && !source.is_connect() && !source.is_timeout() =>
            {
                self.repeated.fetch_add(1, Ordering::Relaxed);
                answer(request_line, request(&self.fresh)).await
            }
            outcome => outcome,
        }
    }

    /// How many requests were sent twice since this was asked last.
    pub fn take_repeated(&self) -> u64 {
        self.repeated.swap(0, Ordering::Relaxed)
    }

    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.send(Method::GET, path, None).await
    }
}

pub fn new_visit() -> Value {
    json!({
        "reservatorName": format!("Bori {}", Uuid::new_v4().simple()),
        "reservationDate": "2020-04-30",
        "phoneNumber": "010-1234-5678",
    })
}

async fn answer(request_line: &str, request: RequestBuilder) -> Result<Value, Error> {
    let failed = |source| Error::NoAnswer { request: request_line.to_owned(), source };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let text = response.text().await.map_err(failed)?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status.is_success() { Ok(body) } else { Err(Error::Status { request: request_line.to_owned(), status, body }) }
}
