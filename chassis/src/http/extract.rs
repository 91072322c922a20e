//! Extractors whose refusals are problem details that name what is wrong.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::admission::BodyLate;
use super::problem::{FieldError, Problem};

/// The largest body that is read.
pub const BODY_LIMIT: usize = 64 * 1024;
/// Deeper than any honest document; a bomb is refused before it is parsed.
const MAX_DEPTH: usize = 32;

/// A JSON body. A missing content type is taken for JSON, as clients of long standing send none.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        refuse_other_media(request.headers())?;
        let body = Bytes::from_request(request, state).await.map_err(body_problem)?;
        parse_json(&body).map(Self)
    }
}

/// For a request that needs no body: an empty one, of whatever media type, is none.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let media = refuse_other_media(request.headers());
        let body = Bytes::from_request(request, state).await.map_err(body_problem)?;
        if body.is_empty() {
            return Ok(None);
        }
        media?;
        parse_json(&body).map(|parsed| Some(Self(parsed)))
    }
}

fn refuse_other_media(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "application/json" || (media.starts_with("application/") && media.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type")
        .detail("Content-Type must be application/json."))
}

pub fn body_problem(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
            .detail(format!("The body is larger than {BODY_LIMIT} bytes."));
    }
    if is_late(&rejection) {
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout")
            .detail("The body of the request did not arrive in time.");
    }
    Problem::bad_request("The body ended before it was complete.")
}

fn is_late(rejection: &BytesRejection) -> bool {
    std::iter::successors(rejection.source(), |error| (*error).source()).any(|error| error.is::<BodyLate>())
}

/// Not JSON is 400; JSON of another shape is 422 and names the field.
pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("The body is not valid UTF-8."))?;
    if text.trim().is_empty() {
        return Err(Problem::bad_request("The body is empty; a JSON object is expected."));
    }
    if is_too_deep(text) {
        return Err(Problem::bad_request(format!("The body is nested more than {MAX_DEPTH} levels deep.")));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(json_problem)?;
    parser.end().map_err(|error| Problem::bad_request(format!("The body is not JSON: {error}.")))?;
    // serde takes a list for an object whose fields come in order; nobody means that.
    if text.trim_start().starts_with('[') {
        return Err(Problem::invalid_field("(body)", "must be a JSON object"));
    }
    Ok(value)
}

fn json_problem(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if !inner.is_data() {
        return Problem::bad_request(format!("The body is not JSON: {inner}."));
    }
    let message = inner.to_string();
    // serde writes the name of a missing or repeated field into its message, between backticks.
    let named = message.split('`').nth(1).filter(|_| path == "." && message.contains("field `"));
    let (what, _) = message.split_once(" at line ").unwrap_or((&message, ""));
    if message.starts_with("duplicate field") {
        let mut problem = Problem::bad_request(format!("The body is ambiguous: {what}."));
        problem.body.errors = vec![FieldError::new(named.unwrap_or(&path), "is given twice")];
        return problem;
    }
    match (named, path.as_str()) {
        (Some(_), _) if message.starts_with("missing field") => {
            Problem::invalid_field(named.unwrap_or(&path), "is missing")
        }
        (Some(field), _) => Problem::invalid_field(field, what),
        (None, ".") => Problem::invalid_field("(body)", "must be a JSON object"),
        (None, field) => Problem::invalid_field(field, in_plain_words(what)),
    }
}

/// serde says what it expected in Rust's words.
fn in_plain_words(what: &str) -> String {
    let (found, expected) = what.split_once(", expected ").unwrap_or((what, ""));
    let expected = match expected {
        "" => return found.to_owned(),
        "i64" | "u64" | "i32" | "u32" => "a whole number",
        "struct" => "a JSON object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// One pass over the text, so that depth costs no stack.
fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// For a merge patch: absent is `None`, null is `Some(None)`.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The `{id}` of a path; what is no number is unknown, thus 404.
pub struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::<i64>::from_request_parts(parts, state)
            .await
            .map(|path| Self(path.0))
            .map_err(|_| Problem::not_found())
    }
}

/// Query parameters; a wrong one is 400 and named.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // PostgreSQL knows no text that has it.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::bad_request("The query contains a null character."));
        }
        axum::extract::Query::<T>::from_request_parts(parts, state).await.map(|query| Self(query.0)).map_err(
            |rejection| Problem::bad_request(format!("The query is not understood: {}.", rejection.body_text())),
        )
    }
}

/// The precondition of RFC 9110: act only on the version that the client has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    Absent,
    Any,
    Version(i64),
    /// A tag that is none of ours never matches.
    Foreign,
}

impl IfMatch {
    pub fn check(self, version: i64) -> Result<(), Problem> {
        match self {
            Self::Absent | Self::Any => Ok(()),
            Self::Version(wanted) if wanted == version => Ok(()),
            Self::Version(_) | Self::Foreign => Err(Problem::precondition_failed()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::Absent) };
        let tag = value.to_str().unwrap_or_default().trim();
        if tag == "*" {
            return Ok(Self::Any);
        }
        let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
        Ok(version.map_or(Self::Foreign, Self::Version))
    }
}

/// How long the caller still waits, in milliseconds; what is not done by then need not be begun.
pub const TIMEOUT_HEADER: &str = "x-request-timeout-ms";

/// When the caller stops waiting.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<tokio::time::Instant>);

impl Deadline {
    pub fn has_passed(self) -> bool {
        self.0.is_some_and(|at| tokio::time::Instant::now() >= at)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Deadline {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let left = parts.headers.get(TIMEOUT_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self(left.map(|ms| tokio::time::Instant::now() + std::time::Duration::from_millis(ms))))
    }
}

/// The entity tag of a version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Pet {
        name: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only its type matters here")]
        age: Option<i64>,
    }

    fn refusal(body: &[u8]) -> Problem {
        parse_json::<Pet>(body).unwrap_err()
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in [&b"{"[..], b"", b"name=Bori", b"{\"name\":\"a\"}x", b"{\"name\":\"\xff\"}"] {
            assert_eq!(refusal(body).status, StatusCode::BAD_REQUEST, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn json_of_another_shape_names_the_field() {
        for (body, field) in [
            ("{\"name\":5}", "name"),
            ("{\"name\":\"a\",\"age\":\"old\"}", "age"),
            ("{}", "name"),
            ("[]", "(body)"),
            ("[\"a\",1]", "(body)"),
        ] {
            let problem = refusal(body.as_bytes());
            assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
            assert_eq!(problem.body.errors.first().map(|error| error.field.as_str()), Some(field), "{body}");
        }
    }

    #[test]
    fn a_key_given_twice_is_refused_by_name() {
        let problem = refusal(b"{\"name\":\"a\",\"name\":\"b\"}");
        assert_eq!(problem.status, StatusCode::BAD_REQUEST);
        assert_eq!(problem.body.errors.first().map(|error| error.field.as_str()), Some("name"));
    }

    #[test]
    fn a_deep_document_is_refused_even_in_an_unknown_field() {
        let bomb = format!("{{\"name\":\"a\",\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(refusal(bomb.as_bytes()).status, StatusCode::BAD_REQUEST);
        let brackets_in_text = format!("{{\"name\":\"{}\"}}", "[".repeat(100));
        assert_eq!(parse_json::<Pet>(brackets_in_text.as_bytes()).unwrap().name.len(), 100);
    }
}
