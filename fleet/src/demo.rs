//! `fleet demo`: the story of a visit, played through the gateway and told as it goes.

use std::{
    net::{AddrParseError, SocketAddr},
    path::Path,
    time::Duration,
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    cli::Person,
    http::{self, Content, HttpError},
    status::Status,
    token::{self, TokenError},
};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the fleet's address is none")]
    Address(#[from] AddrParseError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the gateway does not answer")]
    Http(#[from] HttpError),
    #[error("{request} should answer {wanted} but answered {status}")]
    Status { request: String, wanted: u16, status: u16 },
    #[error("{path} did not show {wanted} within {PATIENCE:?}")]
    NeverSeen { path: String, wanted: String },
    #[error("{request} should answer with {wanted}")]
    Content { request: String, wanted: &'static str },
}

struct Story {
    gateway: SocketAddr,
    token: Option<String>,
    step: u32,
}

pub async fn play(data: &Path, status: Status) -> Result<(), DemoError> {
    let token = match status.open {
        true => None,
        false => Some(token::token(data, status.oauth.parse()?, Person::Customer).await?),
    };
    let mut story = Story { gateway: status.gateway.parse()?, token, step: 0 };
    story.visit().await?;
    story.cancellation().await?;
    println!("\nThe story went as told.");
    Ok(())
}

impl Story {
    async fn visit(&mut self) -> Result<(), DemoError> {
        self.tell("Jackson reserves a visit. The clinic is asked while he waits.");
        let id = self.reserve("Jackson").await?;
        let reservation = format!("/reservations/{id}");
        let stats = format!("/reservationStats/{id}");

        self.tell("He reads his reservation.");
        self.get(&reservation).await?;

        self.tell("He changes the date.");
        let date = json!({"reservationDate": "2020-05-01"});
        self.send(Method::PATCH, &reservation, Some(date), 200).await?;

        self.tell("The visit is treated and billed, each by its own service; lookup shows both.");
        let billed = self.wait_for_label(&stats, "수납 대기").await?;
        if !shows(&billed["history"], "진료 완료") {
            return Err(DemoError::Content { request: format!("GET {stats}"), wanted: "진료 완료 in its history" });
        }

        self.tell("He looks for his bill and pays it.");
        let bills = format!("/financialManagements?reservationId={id}");
        let found = self.get(&bills).await?;
        let bill = &found["_embedded"]["financialManagements"][0]["id"];
        let Some(bill) = bill.as_i64() else {
            return Err(DemoError::Content { request: format!("GET {bills}"), wanted: "a bill" });
        };
        let pay = format!("/financialManagements/{bill}/pay");
        self.send(Method::POST, &pay, None, 200).await?;
        self.wait_for_label(&stats, "수납 완료").await?;

        self.tell("Each change was told to him.");
        let notices = format!("/notices?reservationId={id}");
        self.wait_for(&notices, "notices", |found| {
            found["_embedded"]["notices"].as_array().is_some_and(|notices| notices.len() >= 3)
        })
        .await?;
        Ok(())
    }

    async fn cancellation(&mut self) -> Result<(), DemoError> {
        self.tell("Another visit is reserved and cancelled.");
        let id = self.reserve("Bori").await?;
        let reservation = format!("/reservations/{id}");
        self.send(Method::DELETE, &reservation, None, 204).await?;
        self.wait_for_label(&format!("/reservationStats/{id}"), "예약 취소").await?;
        Ok(())
    }

    async fn reserve(&self, name: &str) -> Result<i64, DemoError> {
        let visit = json!({
            "reservatorName": name,
            "reservationDate": "2020-04-30",
            "phoneNumber": "010-1234-5678",
        });
        let made = self.send(Method::POST, "/reservations", Some(visit), 201).await?;
        made["id"]
            .as_i64()
            .ok_or_else(|| DemoError::Content { request: "POST /reservations".to_owned(), wanted: "an id" })
    }

    fn tell(&mut self, what: &str) {
        self.step += 1;
        println!("\n{}. {what}", self.step);
    }

    async fn get(&self, path: &str) -> Result<Value, DemoError> {
        self.send(Method::GET, path, None, 200).await
    }

    /// One request and its answer, as they go over the wire.
    async fn send(&self, method: Method, path: &str, body: Option<Value>, wanted: u16) -> Result<Value, DemoError> {
        let sent = body.as_ref().map(Value::to_string).unwrap_or_default();
        println!("   > {method} {path} {sent}");
        let (status, answer) = self.exchange(method.clone(), path, body).await?;
        print_answer(status, &answer);
        if status != wanted {
            return Err(DemoError::Status { request: format!("{method} {path}"), wanted, status });
        }
        Ok(answer)
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value), DemoError> {
        let media_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let content = body.map(|body| Content { media_type, text: body.to_string() });
        let token = self.token.as_deref();
        let answer = http::send(self.gateway, method, path, token, content).await?;
        Ok((answer.status, answer.json()))
    }

    async fn wait_for_label(&self, path: &str, label: &str) -> Result<Value, DemoError> {
        self.wait_for(path, label, |found| found["label"] == label).await
    }

    /// Asks again until the answer is as wanted, and shows that one.
    async fn wait_for(&self, path: &str, wanted: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value, DemoError> {
        println!("   > GET {path}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, answer) = self.exchange(Method::GET, path, None).await?;
            if status == 200 && is_it(&answer) {
                print_answer(status, &answer);
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                print_answer(status, &answer);
                return Err(DemoError::NeverSeen { path: path.to_owned(), wanted: wanted.to_owned() });
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn shows(history: &Value, label: &str) -> bool {
    let entries = history.as_array().into_iter().flatten();
    entries.into_iter().any(|entry| entry["label"] == label)
}

/// Without the links, which say nothing to a reader.
fn print_answer(status: u16, answer: &Value) {
    let mut answer = answer.clone();
    strip_links(&mut answer);
    let text = match answer {
        Value::Null => String::new(),
        answer => format!("{answer:#}").replace('\n', "\n     "),
    };
    println!("   < {status} {text}");
}

fn strip_links(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("_links");
            fields.values_mut().for_each(strip_links);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_links),
        _ => {}
    }
}
