//! W3C trace context: one trace id from the gateway through calls and messages to the last consumer.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue};
use tokio::task_local;

use crate::telemetry::export;

pub const TRACEPARENT: &str = "traceparent";
pub const REQUEST_ID: &str = "x-request-id";

/// Which trace the work at hand belongs to, and which request asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: u128,
    pub span_id: u64,
    pub sampled: bool,
}

task_local! {
    static CURRENT: TraceContext;
}

impl TraceContext {
    /// The caller's span, where there is one that can be read.
    pub fn of_caller(headers: &HeaderMap) -> Option<Self> {
        headers.get(TRACEPARENT)?.to_str().ok().and_then(Self::parse)
    }

    /// The first span of a new trace.
    pub fn root() -> Self {
        let unrecorded = Self::unrecorded();
        Self { sampled: export::samples(unrecorded.trace_id), ..unrecorded }
    }

    /// A trace that nobody will look at.
    pub fn unrecorded() -> Self {
        Self { trace_id: rand::random::<u128>().max(1), span_id: new_span_id(), sampled: false }
    }

    /// Another span of the same trace.
    pub fn child(self) -> Self {
        Self { span_id: new_span_id(), ..self }
    }

    /// The context of the task at hand.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Runs `work` in this context.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
            return None;
        }
        // The first version has exactly four parts.
        if version == "00" && parts.next().is_some() {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id, span_id, sampled })
    }

    /// The trace's id, as logs show it.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    pub fn insert_into(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

fn new_span_id() -> u64 {
    rand::random::<u64>().max(1)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn a_traceparent_is_continued_with_a_span_of_its_own() {
        let parent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let headers = HeaderMap::from_iter([(HeaderName::from_static(TRACEPARENT), parent)]);
        let context = TraceContext::of_caller(&headers).unwrap().child();
        assert_eq!(context.trace_id, 0x4bf92f3577b34da6a3ce929d0e0e4736);
        assert_ne!(context.span_id, 0x00f067aa0ba902b7);
        assert!(context.to_string().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(context.to_string().ends_with("-01"), "the caller has decided that it is recorded");
    }

    #[test]
    fn a_traceparent_that_is_none_starts_a_new_trace() {
        for text in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}
