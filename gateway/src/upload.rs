//! A request's body on its way through: counted as it passes, never collected.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use chassis::http::extract::BODY_LIMIT;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Beyond the limit this much more is read and thrown away: a client that hears "too large" while it still sends
/// would otherwise often see a broken connection instead of the answer.
const DISCARDED: usize = 1024 * 1024;

/// How far the client's sending has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Complete,
    Sending,
    TooLarge,
    /// The client went away or sent what is no body.
    Broken,
}

/// Looks at the progress of an [`Upload`] that is in the HTTP client's hands.
pub struct Watch(Option<Arc<Mutex<Progress>>>);

impl Watch {
    pub fn progress(&self) -> Progress {
        let Some(progress) = &self.0 else { return Progress::Complete };
        *progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
}

pub struct Upload {
    body: Body,
    passed: usize,
    /// Absent where there is no body, which is most requests.
    progress: Option<Arc<Mutex<Progress>>>,
}

impl Upload {
    pub fn empty() -> Self {
        Self { body: Body::empty(), passed: 0, progress: None }
    }

    pub fn of(body: Body) -> (Self, Watch) {
        let progress = (!body.is_end_stream()).then(|| Arc::new(Mutex::new(Progress::Sending)));
        (Self { body, passed: 0, progress: progress.clone() }, Watch(progress))
    }

    fn is_now(&self, now: Progress) {
        if let Some(progress) = &self.progress {
            *progress.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.is_now(Progress::Broken);
                    return Poll::Ready(Some(Err(UploadError::Broken(error))));
                }
                None if self.passed > BODY_LIMIT => return Poll::Ready(Some(Err(UploadError::TooLarge))),
                None => {
                    self.is_now(Progress::Complete);
                    return Poll::Ready(None);
                }
            };
            self.passed += frame.data_ref().map_or(0, Bytes::len);
            if self.passed > BODY_LIMIT {
                self.is_now(Progress::TooLarge);
                if self.passed > BODY_LIMIT + DISCARDED {
                    return Poll::Ready(Some(Err(UploadError::TooLarge)));
                }
                continue;
            }
            if self.body.is_end_stream() {
                self.is_now(Progress::Complete);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads a body that is refused, within bounds, so that the client gets to hear the answer.
pub async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARDED {
            return;
        }
    }
}
