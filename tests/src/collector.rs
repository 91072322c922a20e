//! A collector of traces: takes what the services export and remembers it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;

/// A span, as far as tests look at it.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: Option<String>,
    /// All that is said of it, for what must not be in it.
    pub text: String,
}

type Spans = Arc<Mutex<Vec<Span>>>;

pub struct Collector {
    pub endpoint: String,
    spans: Spans,
}

impl Collector {
    pub async fn start() -> Self {
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(collect)).with_state(spans.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, spans }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn collect(State(spans): State<Spans>, Json(request): Json<Value>) {
    for resource in request["resourceSpans"].as_array().expect("resources") {
        let service = attribute(&resource["resource"], "service.name").expect("a service's name");
        let scopes = resource["scopeSpans"].as_array().expect("scopes").iter();
        let exported = scopes.flat_map(|scope| scope["spans"].as_array().expect("spans"));
        let read = exported.map(|span| Span {
            service: service.clone(),
            name: text(&span["name"]),
            trace: text(&span["traceId"]),
            id: text(&span["spanId"]),
            parent: span["parentSpanId"].as_str().map(str::to_owned),
            text: span.to_string(),
        });
        spans.lock().unwrap_or_else(PoisonError::into_inner).extend(read);
    }
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let found = of["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    found["value"]["stringValue"].as_str().map(str::to_owned)
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
