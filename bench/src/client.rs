//! One client: a connection that is kept, and made anew where the other side has closed it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

/// What each request of a client is sent with.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    pub token: String,
}

#[derive(Clone)]
pub struct Question {
    pub method: Method,
    pub path: String,
    pub body: Bytes,
}

impl Question {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: Bytes::new() }
    }

    /// The reservation of the seed's own load test.
    pub fn reserve() -> Self {
        let body = r#"{"reservatorName": "Jackson", "phoneNumber": "01032713104", "reservationDate": "2020-05-01"}"#;
        Self { method: Method::POST, path: "/reservations".to_owned(), body: Bytes::from_static(body.as_bytes()) }
    }
}

pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

pub struct Client {
    target: Target,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub fn new(target: &Target) -> Self {
        Self { target: target.clone(), connection: None }
    }

    /// `None` where no answer came, or none in time.
    pub async fn ask(&mut self, question: &Question) -> Option<Answer> {
        let answer = tokio::time::timeout(PATIENCE, self.try_ask(question)).await.ok().flatten();
        if answer.is_none() {
            self.connection = None;
        }
        answer
    }

    async fn try_ask(&mut self, question: &Question) -> Option<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => connect(&self.target.address).await?,
        };
        connection.ready().await.ok()?;
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(&question.path)
            .header(header::HOST, &self.target.address)
            .header(header::CONTENT_TYPE, "application/json");
        if !self.target.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.target.token));
        }
        let request = request.body(Full::new(question.body.clone())).ok()?;
        let response = connection.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.into_body().collect().await.ok()?.to_bytes();
        self.connection = Some(connection);
        Some(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }
}

async fn connect(address: &str) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}
