//! One request: written down before it is sent, and again with what came of it.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;

use crate::history::{Action, History, Outcome};

/// Longer than the gateway waits for any service.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Wire {
    http: Client,
    gateway: String,
    history: History,
    client: String,
}

/// What is sent, and in whose name.
pub struct Request<'a> {
    pub method: Method,
    pub path: String,
    pub token: &'a str,
    pub key: Option<&'a str>,
    pub body: Option<Value>,
}

impl Wire {
    pub fn new(gateway: String, history: History, client: String) -> Self {
        Self { http: Client::new(), gateway, history, client }
    }

    /// Sends and logs. With `leaves_after` the client is gone then, answered or not.
    pub async fn send(
        &self,
        visit: &str,
        action: Action,
        request: Request<'_>,
        leaves_after: Option<Duration>,
    ) -> Outcome {
        let number = self.history.invoke(&self.client, visit, action, request.key);
        let patience = leaves_after.unwrap_or(PATIENCE);
        let outcome = match tokio::time::timeout(patience, self.exchange(request)).await {
            Ok(Ok((status, body))) => Outcome::of_answer(status, body),
            Ok(Err(error)) => Outcome::Unknown { why: error.without_url().to_string() },
            Err(_) => Outcome::Unknown { why: format!("the client left after {} ms", patience.as_millis()) },
        };
        self.history.complete(number, outcome.clone());
        outcome
    }

    /// Asks for something that is no part of the history; none where no good answer came.
    pub async fn look(&self, path: &str, token: &str) -> Option<Value> {
        let request = Request { method: Method::GET, path: path.to_owned(), token, key: None, body: None };
        let answer = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let (status, body) = answer.ok()?.ok()?;
        (status == 200).then_some(body)
    }

    async fn exchange(&self, request: Request<'_>) -> Result<(u16, Value), reqwest::Error> {
        let Request { method, path, token, key, body } = request;
        let mut built = self.http.request(method, format!("{}{path}", self.gateway)).bearer_auth(token);
        if let Some(key) = key {
            built = built.header("idempotency-key", key);
        }
        if let Some(body) = body {
            built = built.json(&body);
        }
        let response = built.send().await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        // A deletion is answered without a body.
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}
