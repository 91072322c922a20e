//! A provider of messages that does as it is told, over a real socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Status(u16),
    /// Takes the message and never answers.
    Silence,
}

pub struct Posted {
    pub headers: HeaderMap,
    pub body: String,
}

impl Posted {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

pub struct StandIn {
    pub address: SocketAddr,
    posted: mpsc::UnboundedReceiver<Posted>,
}

#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    posted: mpsc::UnboundedSender<Posted>,
}

/// An address where nobody listens.
pub async fn nobodys_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

impl StandIn {
    /// Gives these answers in turn, then 200 for ever.
    pub async fn answering(answers: &[Answer]) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answers).await
    }

    pub async fn at(address: SocketAddr, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posted) = mpsc::unbounded_channel();
        let script = Script { answers: Arc::new(Mutex::new(answers.iter().copied().collect())), posted: sender };
        let router = axum::Router::new().fallback(answer).with_state(script);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, posted }
    }

    /// The next message that was posted.
    pub async fn next(&mut self) -> Posted {
        tokio::time::timeout(PATIENCE, self.posted.recv()).await.unwrap().unwrap()
    }

    pub fn got_nothing_more(&mut self) -> bool {
        self.posted.is_empty()
    }
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let body = String::from_utf8(body.to_vec()).unwrap();
    script.posted.send(Posted { headers, body }).unwrap();
    let answer = script.answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap(),
        Answer::Silence => std::future::pending().await,
    }
}
