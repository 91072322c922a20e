//! The hospital as its users see it: through the gateway, in the domain's words.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::eventually;

#[derive(Clone)]
pub struct Hospital {
    gateway: String,
    token: Option<String>,
    client: Client,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

pub fn jackson() -> Value {
    json!({"reservatorName": "Jackson", "reservationDate": "2020-04-30", "phoneNumber": "010-1234-5678"})
}

impl Hospital {
    pub fn new(gateway: String, token: Option<String>) -> Self {
        // The gateway closes what has said nothing for 10 s; a request must not cross with that.
        let client = Client::builder().pool_idle_timeout(Duration::from_secs(5)).build().expect("a client");
        Self { gateway, token, client }
    }

    /// Sends a request; `None` where no answer came.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Option<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.gateway));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.ok()?;
        Some(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body, None).await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Reserves and gives the reservation's id.
    pub async fn reserve(&self) -> i64 {
        let answer = self.send(Method::POST, "/reservations", Some(&jackson())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["id"].as_i64().expect("an id")
    }

    pub async fn change_date(&self, id: i64, date: &str) -> Answer {
        self.send(Method::PATCH, &format!("/reservations/{id}"), Some(&json!({"reservationDate": date}))).await
    }

    pub async fn cancel(&self, id: i64) -> Answer {
        self.send(Method::DELETE, &format!("/reservations/{id}"), None).await
    }

    pub async fn pay(&self, bill: i64) -> Answer {
        self.send(Method::POST, &format!("/financialManagements/{bill}/pay"), None).await
    }

    /// What lookup shows of a reservation now.
    pub async fn label(&self, id: i64) -> Option<String> {
        let answer = self.get(&format!("/reservationStats/{id}")).await;
        answer.body["label"].as_str().map(str::to_owned)
    }

    pub async fn until_label(&self, id: i64, label: &str) {
        eventually(&format!("reservation {id} is {label}"), async || {
            (self.label(id).await.as_deref() == Some(label)).then_some(())
        })
        .await;
    }

    /// The items of a collection, all pages of it.
    pub async fn all(&self, collection: &str, filter: &str) -> Vec<Value> {
        let mut items = Vec::new();
        for page in 0.. {
            let answer = self.get(&format!("/{collection}?{filter}&page={page}&size=500")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            items.extend(answer.body["_embedded"][collection].as_array().cloned().unwrap_or_default());
            if page + 1 >= answer.body["page"]["totalPages"].as_i64().expect("a page") {
                break;
            }
        }
        items
    }

    pub async fn records_of(&self, id: i64) -> Vec<Value> {
        self.all("medicalRecords", &format!("reservationId={id}")).await
    }

    pub async fn bills_of(&self, id: i64) -> Vec<Value> {
        self.all("financialManagements", &format!("reservationId={id}")).await
    }

    pub async fn notices_of(&self, id: i64) -> Vec<Value> {
        self.all("notices", &format!("reservationId={id}")).await
    }
}
