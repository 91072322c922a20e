//! Spans: what a trace is made of. One is begun where work begins, and told to the exporter when it is dropped.
//!
//! The ids are the trace context's own, which the outbox keeps and messages carry; so a span costs next to
//! nothing where no exporter runs or the trace is not sampled.

use std::time::SystemTime;

use super::export;
use crate::http::trace::TraceContext;

/// The numbers are OTLP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// What is told of a span when it has ended.
#[derive(Debug)]
pub struct Record {
    pub context: TraceContext,
    pub parent: Option<u64>,
    pub kind: Kind,
    pub name: String,
    pub started: SystemTime,
    pub ended: SystemTime,
    pub attributes: Vec<(&'static str, Value)>,
    pub failed: bool,
}

pub struct Span {
    context: TraceContext,
    /// Absent where nobody will read it.
    record: Option<Box<Record>>,
}

impl Span {
    /// A child of `parent`, or the first of a new trace.
    pub fn begin(kind: Kind, parent: Option<TraceContext>, name: impl FnOnce() -> String) -> Self {
        let context = parent.map_or_else(TraceContext::root, |parent| parent.child());
        let is_read = context.sampled && export::is_on();
        let record = is_read.then(|| {
            let now = SystemTime::now();
            Box::new(Record {
                context,
                parent: parent.map(|parent| parent.span_id),
                kind,
                name: name(),
                started: now,
                ended: now,
                attributes: Vec::new(),
                failed: false,
            })
        });
        Self { context, record }
    }

    /// What the work inside hands on.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Never a name, a phone number or a token.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.attributes.push((key, value.into()));
        }
    }

    /// It did not succeed; `error` is a short word of a bounded list.
    pub fn fail(&mut self, error: &str) {
        self.set("error.type", error);
        if let Some(record) = &mut self.record {
            record.failed = true;
        }
    }

    /// How a request was answered; only the server's own faults are failures of it.
    pub fn answered(&mut self, status: u16) {
        self.set("http.response.status_code", i64::from(status));
        if status >= 500
            && let Some(record) = &mut self.record
        {
            record.failed = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.ended = SystemTime::now();
            export::take(*record);
        }
    }
}
