//! How much is let in at once. Over a limit a request is refused at once, before its token and its body are looked
//! at: those that wait in a queue are late when their turn comes, and make the others late.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use metrics::{Counter, Gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::problem::Problem;
use crate::config::Http;

/// So many at once; whoever comes when all places are taken is sent away.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    taken: Gauge,
    shed: Counter,
}

/// One of the places, free again when this is dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    taken: Gauge,
}

impl Places {
    /// `limit` is what metrics call them.
    pub fn new(limit: &str, count: usize) -> Self {
        let taken = metrics::gauge!("requests_in_flight", "limit" => limit.to_owned());
        let shed = metrics::counter!("requests_shed_total", "limit" => limit.to_owned());
        taken.set(0.0);
        shed.absolute(0);
        Self { free: Arc::new(Semaphore::new(count)), taken, shed }
    }

    pub fn enter(&self) -> Option<Place> {
        let Ok(permit) = self.free.clone().try_acquire_owned() else {
            self.shed.increment(1);
            return None;
        };
        self.taken.increment(1.0);
        Some(Place { _permit: permit, taken: self.taken.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.decrement(1.0);
    }
}

/// Marks the requests of a connection that is one too many: they are refused like those that find no place.
#[derive(Clone, Copy)]
pub(super) struct Crowded;

#[derive(Clone)]
pub(super) struct Admission {
    places: Places,
    body_timeout: Duration,
}

impl Admission {
    pub fn new(http: &Http) -> Self {
        Self { places: Places::new("service", http.max_in_flight), body_timeout: http.body_timeout }
    }
}

/// A place is held until the answer begins. Probes and metrics do not come this way: a busy service is not a dead one.
pub(super) async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let is_crowded = request.extensions().get::<Crowded>().is_some();
    let place = if is_crowded { None } else { admission.places.enter() };
    if place.is_none() {
        return overloaded("This service has more to do at the moment than it can.").into_response();
    }
    next.run(request.map(|body| in_time(body, admission.body_timeout))).await
}

pub fn overloaded(detail: impl Into<String>) -> Problem {
    Problem::unavailable("overloaded", detail).not_done()
}

#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
pub(super) struct BodyLate;

/// A body that must have arrived when its time is over, however it is spread.
struct TimedBody {
    inner: Body,
    timeout: Duration,
    /// Set at the first wait; most bodies arrive with their head.
    end: Option<Pin<Box<Sleep>>>,
}

fn in_time(body: Body, timeout: Duration) -> Body {
    if body.is_end_stream() { body } else { Body::new(TimedBody { inner: body, timeout, end: None }) }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let timeout = self.timeout;
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Some(Err(axum::Error::new(BodyLate))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
