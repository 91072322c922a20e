//! A running gateway, stand-ins for a service, and a client that sees every byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use axum::serve::ListenerExt;
use chassis::config::Settings;
use chassis::http::server;
use chassis::testing::{Issuer, Rig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes; whoever waits this long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(20);

const ROUTES: &str = r#"[
    {path = "/reservations", upstream = "reservation", timeout = "10s"},
    {path = "/impatient", upstream = "reservation", timeout = "100ms"},
    {path = "/open", upstream = "reservation", timeout = "10s", public = true},
    {path = "/notices", upstream = "notice", timeout = "10s"},
]"#;

pub struct Gateway {
    pub address: SocketAddr,
    issuer: Issuer,
}

impl Gateway {
    /// In front of a service at `upstream`; nobody is behind the other routes.
    pub async fn before(upstream: SocketAddr) -> Self {
        Self::with(upstream, &[]).await
    }

    pub async fn with(upstream: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let upstream = format!("http://{upstream}");
        let nobody = format!("http://{}", free_address().await);
        let all = [
            ("routes", ROUTES),
            ("upstreams.reservation", &upstream),
            ("upstreams.notice", &nobody),
            ("http.port", "0"),
        ];
        let all: Vec<(&str, &str)> = all.into_iter().chain(settings.iter().copied()).collect();
        let owned: Vec<_> = all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = Settings::load(gateway::ABOUT, None, &owned, |_| None).unwrap().typed().unwrap();

        let rig = Rig::with(gateway::ABOUT, &all);
        let service = rig.serve(gateway::build(config, &rig.chassis).await.unwrap());
        let listener = server::listen(&rig.chassis.config.http).await.unwrap();
        let address = listener.address;
        let Rig { chassis, issuer } = rig;
        tokio::spawn(async move { server::until_stopped(&chassis, listener, service).await.unwrap() });
        Self { address, issuer }
    }

    pub fn token_of(&self, subject: &str) -> String {
        self.issuer.token(subject, &["customer"])
    }

    pub async fn connect(&self) -> Wire {
        Wire { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// A request on a connection of its own. The head is what follows the request line.
    pub async fn ask(&self, request_line: &str, head: &[&str], body: &str) -> Answer {
        let mut wire = self.connect().await;
        wire.ask(self, request_line, head, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "").await
    }
}

/// An address where nobody listens.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A stand-in that is an axum router, and how many connections it got.
pub async fn serve(router: Router) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let listener = listener.tap_io(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, count)
}

/// A stand-in that answers with the request as it got it.
pub async fn mirror() -> SocketAddr {
    serve(Router::new().fallback(any(async |request: Request| axum::Json(shown(&request))))).await.0
}

fn shown(request: &Request) -> Value {
    let mut headers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in request.headers() {
        headers.entry(name.as_str()).or_default().push(value.to_str().unwrap());
    }
    json!({"method": request.method().as_str(), "address": request.uri().to_string(), "headers": headers})
}

/// A stand-in at the level of bytes: each connection is given to `each`, with its number from 0.
pub async fn raw<F>(each: impl Fn(usize, Wire) -> F + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let number = counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(each(number, Wire { stream, read: Vec::new() }));
        }
    });
    (address, count)
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The last part of a problem's type.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["type"].as_str().unwrap_or_default().trim_start_matches("urn:problem:").to_owned()
    }
}

/// One end of a connection.
pub struct Wire {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to and with `end`, and returns it.
    pub async fn read_to(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end.as_bytes()) {
                let taken: Vec<u8> = self.read.drain(..at + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            assert!(self.fill().await, "it ended before {end:?}: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Whether the other side ends, in order or not, without a further byte.
    pub async fn has_ended(&mut self) -> bool {
        !self.fill().await && self.read.is_empty()
    }

    /// All that still comes, up to the end.
    pub async fn rest(&mut self) -> String {
        while self.fill().await {}
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    async fn fill(&mut self) -> bool {
        let reading = tokio::time::timeout(FOR_EVER, self.stream.read_buf(&mut self.read));
        reading.await.expect("it came to nothing").is_ok_and(|bytes| bytes > 0)
    }

    pub async fn head(&mut self) -> String {
        self.read_to("\r\n\r\n").await
    }

    pub async fn ask(&mut self, gateway: &Gateway, request_line: &str, head: &[&str], body: &str) -> Answer {
        let mut text = format!("{request_line} HTTP/1.1\r\n");
        let says = |name: &str| head.iter().any(|line| line.to_ascii_lowercase().starts_with(name));
        if !says("host:") {
            text += "Host: fleet.test\r\n";
        }
        if !says("authorization:") {
            text += &format!("Authorization: Bearer {}\r\n", gateway.token_of("anna"));
        }
        if !body.is_empty() && !says("transfer-encoding:") && !says("content-length:") {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        for line in head {
            text += &format!("{line}\r\n");
        }
        self.write(&format!("{text}\r\n{body}")).await;
        self.answer(request_line.starts_with("HEAD ")).await
    }

    pub async fn answer(&mut self, is_to_head: bool) -> Answer {
        let head = self.head().await;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new() };
        if is_to_head || status == 204 || status == 304 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(self.read_to("\r\n").await.trim(), 16).unwrap();
                answer.body += &self.take(size).await;
                self.read_to("\r\n").await;
                if size == 0 {
                    return answer;
                }
            }
        }
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = self.take(length).await;
        answer
    }

    async fn take(&mut self, length: usize) -> String {
        while self.read.len() < length {
            assert!(self.fill().await, "it ended too early");
        }
        String::from_utf8(self.read.drain(..length).collect()).unwrap()
    }
}
