//! A diagnosis that does as it is told, over a real socket.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::client::NOT_DONE_HEADER;
use chassis::http::problem::Problem;
use contracts::visits::{CANCELED, REFUSED};
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Accepts,
    Refuses,
    KnowsOfACancellation,
    /// Says that it has done nothing.
    Sheds,
    /// Fails after it may have done something.
    Breaks,
    /// Answers once it is released: accepts, unless its mood has changed by then.
    Waits,
    /// Fails once after it may have done something, and from then on knows no token.
    BreaksAndForgetsUs,
    KnowsNoToken,
    /// There is something else at its address.
    IsSomebodyElse,
}

#[derive(Clone)]
pub struct StandIn {
    pub url: String,
    inner: Arc<Inner>,
}

struct Inner {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<String>>,
    was_asked: Notify,
    release: Notify,
}

impl StandIn {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            mood: Mutex::new(Mood::Accepts),
            asked: Mutex::default(),
            was_asked: Notify::new(),
            release: Notify::new(),
        });
        let stand_in = Self { url, inner };
        let router = axum::Router::new().fallback(answer).with_state(stand_in.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        stand_in
    }

    pub fn becomes(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    fn mood(&self) -> Mood {
        *self.inner.mood.lock().unwrap()
    }

    /// `POST /medicalRecords {…}`, one a request.
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.lock().unwrap().clone()
    }

    pub async fn until_asked(&self) {
        self.inner.was_asked.notified().await;
    }

    pub fn release(&self) {
        self.inner.release.notify_one();
    }
}

async fn answer(State(stand_in): State<StandIn>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    let asked = format!("{} {} {}", parts.method, parts.uri.path(), String::from_utf8_lossy(&body));
    stand_in.inner.asked.lock().unwrap().push(asked);
    stand_in.inner.was_asked.notify_one();
    if stand_in.mood() == Mood::Waits {
        stand_in.inner.release.notified().await;
    }
    match stand_in.mood() {
        Mood::Accepts | Mood::Waits => StatusCode::CREATED.into_response(),
        Mood::Refuses => Problem::conflict(REFUSED, "The clinic is closed on Mondays.").into_response(),
        Mood::KnowsOfACancellation => Problem::conflict(CANCELED, "It was cancelled.").into_response(),
        Mood::Sheds => (StatusCode::SERVICE_UNAVAILABLE, [(NOT_DONE_HEADER, "1")]).into_response(),
        Mood::Breaks => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::BreaksAndForgetsUs => {
            stand_in.becomes(Mood::KnowsNoToken);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Mood::KnowsNoToken => Problem::token_required().into_response(),
        Mood::IsSomebodyElse => (StatusCode::NOT_FOUND, "nginx").into_response(),
    }
}
