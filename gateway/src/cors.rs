//! Calls from pages of other origins, as the Fetch standard has it. Only a browser's question in advance is answered
//! here; any other `OPTIONS` goes to the service.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use chassis::SettingError;

use crate::config::CorsSettings;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may read of an answer beyond the few headers that it always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("etag, link, location, retry-after, www-authenticate, x-request-id");
const ANY: HeaderValue = HeaderValue::from_static("*");

pub struct Cors {
    /// `None` is every origin.
    origins: Option<Vec<HeaderValue>>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Cors {
    pub fn new(settings: &CorsSettings) -> Result<Self, SettingError> {
        let max_age = HeaderValue::from(settings.max_age.as_secs());
        if settings.origins.iter().any(|origin| origin == "*") {
            if settings.credentials {
                let problem = "credentials for every origin would let any page act for its visitor; name the origins";
                return Err(SettingError::new("cors.credentials", problem));
            }
            return Ok(Self { origins: None, credentials: false, max_age });
        }
        let origins = settings.origins.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?;
        Ok(Self { origins: Some(origins), credentials: settings.credentials, max_age })
    }

    /// Whether this is a browser's question before the request proper.
    pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to that question. To an origin that may not call it says nothing, which is a no.
    pub fn permit(&self, request: &HeaderMap, response: &mut HeaderMap) {
        self.mark(request.get(ORIGIN), response);
        response.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        response.append(VARY, HeaderValue::from_static("access-control-request-headers"));
        if !response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        response.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if let Some(headers) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
    }

    /// Says on an answer whether the page that asked may read it.
    pub fn mark(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        response.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin else { return };
        let allowed = match &self.origins {
            None => ANY,
            Some(origins) if origins.contains(origin) => origin.clone(),
            Some(_) => return,
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

fn parse_origin(origin: &str) -> Result<HeaderValue, SettingError> {
    let is_origin = origin.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.authority().is_some())
        && origin.matches('/').count() == 2;
    let value = HeaderValue::try_from(origin).ok().filter(|_| is_origin);
    value.ok_or_else(|| {
        SettingError::new("cors.origins", format!("`{origin}` is no origin; write it like https://desk.example"))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Result<Cors, SettingError> {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        Cors::new(&CorsSettings { origins, credentials, max_age: Duration::from_secs(600) })
    }

    fn marked(cors: &Cors, origin: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        cors.mark(Some(&HeaderValue::from_static(origin)), &mut headers);
        headers
    }

    #[test]
    fn only_a_named_origin_may_read_and_send_cookies() {
        let cors = cors(&["https://desk.example"], true).unwrap();
        let known = marked(&cors, "https://desk.example");
        assert_eq!(known[ACCESS_CONTROL_ALLOW_ORIGIN], "https://desk.example");
        assert_eq!(known[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        let stranger = marked(&cors, "https://desk.example.evil.example");
        assert!(!stranger.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(stranger[VARY], "origin");
    }

    #[test]
    fn every_origin_together_with_credentials_is_refused_at_the_start() {
        let error = cors(&["*"], true).err().unwrap().to_string();
        assert!(error.contains("cors.credentials"), "{error}");
    }

    #[test]
    fn an_origin_that_is_none_names_its_setting() {
        for origin in ["desk.example", "https://desk.example/", "https://", "https://a/b"] {
            let error = cors(&[origin], false).err().unwrap().to_string();
            assert!(error.contains("cors.origins"), "{origin}: {error}");
        }
    }
}
