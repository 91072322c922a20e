//! A message as a consumer gets it, with or without CloudEvents headers.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::DbError;
use crate::db::BoxFuture;
use crate::http::trace::{TRACEPARENT, TraceContext};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    /// Headers whose values are text; others say nothing to us.
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The stream it belongs to, and its place in it: publisher and key with the publisher's count, or the
    /// partition with its offset for an event that brings none.
    pub fn position(&self) -> (String, String, i64) {
        let counted = self.header("ce_sequence").and_then(|sequence| sequence.parse().ok());
        match (self.header("ce_source"), &self.key, counted) {
            (Some(source), Some(key), Some(sequence)) => (source.to_owned(), key.clone(), sequence),
            _ => (format!("{}/{}", self.topic, self.partition), String::new(), self.offset),
        }
    }

    /// Where it is in its topic.
    pub fn place(&self) -> (i32, i64) {
        (self.partition, self.offset)
    }

    /// What waits if it is parked: the rest of its key, or nothing where it has none.
    pub fn parking_key(&self) -> String {
        self.key.clone().unwrap_or_else(|| format!("{}/{}/{}", self.topic, self.partition, self.offset))
    }

    /// Its content. What is wrong with it is said without what is in it: that may be personal.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_slice(&self.payload).map_err(|error| {
            let reason = match error.classify() {
                Category::Data => "a field is missing or of another type than expected",
                Category::Syntax | Category::Eof | Category::Io => "it is not JSON",
            };
            HandlerError::Poison(reason.to_owned())
        })
    }

    /// The span that published it.
    pub fn trace(&self) -> Option<TraceContext> {
        self.header(TRACEPARENT).and_then(TraceContext::parse)
    }
}

/// Why a message was not processed.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// It can never be processed as it is.
    #[error("{0}")]
    Poison(String),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl HandlerError {
    /// Whether the same message may succeed later without anyone's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_transient())
    }
}

/// The effect of a message, inside the transaction that also remembers it.
pub type Handling<'t> = BoxFuture<'t, Result<(), HandlerError>>;
