//! A small HTTP client for the fleet's own addresses: no TLS, no pool, one connection a request.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, header, http};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0} refuses connections")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("the exchange with {0} broke off")]
    Exchange(SocketAddr, #[source] hyper::Error),
    #[error("{0} did not answer within {PATIENCE:?}")]
    Slow(SocketAddr),
    #[error("this is no HTTP request")]
    Request(#[from] http::Error),
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What is sent: a media type and its text.
pub struct Content<'a> {
    pub media_type: &'a str,
    pub text: String,
}

pub async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
    content: Option<Content<'_>>,
) -> Result<Answer, HttpError> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, address.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let mut body = Bytes::new();
    if let Some(content) = content {
        request = request.header(header::CONTENT_TYPE, content.media_type);
        body = content.text.into();
    }
    let request = request.body(Full::new(body))?;
    timeout(PATIENCE, exchange(address, request)).await.map_err(|_| HttpError::Slow(address))?
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, HttpError> {
    let stream = TcpStream::connect(address).await.map_err(|source| HttpError::Connect(address, source))?;
    let broke = |source| HttpError::Exchange(address, source);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broke)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(broke)?;
    driver.abort();
    Ok(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
}
