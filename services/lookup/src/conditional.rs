//! `If-None-Match`: what the client has already need not be sent again.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::Problem;

/// Each answer is one caller's alone, and to be asked for again each time.
const CACHING: HeaderValue = HeaderValue::from_static("private, no-cache");

/// The tags that the client has, if it has any.
pub struct IfNoneMatch(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let lines = parts.headers.get_all(header::IF_NONE_MATCH).iter();
        let lines: Vec<&str> = lines.filter_map(|value| value.to_str().ok()).collect();
        Ok(Self((!lines.is_empty()).then(|| lines.join(","))))
    }
}

impl IfNoneMatch {
    /// Compared weakly, as RFC 9110 wants it for reading. Our tags hold no comma.
    pub fn matches(&self, etag: &str) -> bool {
        let Some(tags) = &self.0 else { return false };
        tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    }
}

/// The tag of a page: it changes when any of its rows, the total or the question does.
pub fn page_etag(query: &str, total: i64, rows: impl Iterator<Item = (i64, i64)>) -> String {
    let mut hasher = DefaultHasher::new();
    (query, total).hash(&mut hasher);
    for row in rows {
        row.hash(&mut hasher);
    }
    format!("\"{:016x}\"", hasher.finish())
}

pub fn not_modified(etag: &str) -> Response {
    tagged(StatusCode::NOT_MODIFIED.into_response(), etag)
}

pub fn tagged(mut response: Response, etag: &str) -> Response {
    if let Ok(etag) = HeaderValue::try_from(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, CACHING);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_tags_is_enough_and_weak_ones_count() {
        let has = |tags: &str| IfNoneMatch(Some(tags.to_owned()));
        assert!(has("\"1\", W/\"3\"").matches("\"3\""));
        assert!(has("*").matches("\"3\""));
        assert!(!has("\"1\", \"2\"").matches("\"3\""));
        assert!(!IfNoneMatch(None).matches("\"3\""));
    }
}
