//! The form that a token request is, read as strictly as RFC 6749 asks.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};

use crate::domain::MAX_TEXT;
use crate::error::Error;

#[derive(Debug)]
pub struct Form {
    fields: HashMap<String, String>,
}

impl Form {
    pub fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Error::WrongMedia);
        }
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            check_text(&value)?;
            // A parameter without a value counts as absent.
            if value.is_empty() {
                continue;
            }
            if fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(Error::InvalidRequest("A parameter is given twice."));
            }
        }
        Ok(Self { fields })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub fn require(&self, name: &str, complaint: &'static str) -> Result<&str, Error> {
        self.get(name).ok_or(Error::InvalidRequest(complaint))
    }
}

/// One part of HTTP Basic credentials, which are form-encoded before they are put together.
pub fn decode_part(text: &str) -> Result<String, Error> {
    // The pair separators would end a form's value early; here they are part of it.
    let text = text.replace('&', "%26").replace('=', "%3D");
    let value = url::form_urlencoded::parse(format!("v={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    check_text(&value)?;
    Ok(value)
}

fn check_text(value: &str) -> Result<(), Error> {
    if value.len() > MAX_TEXT {
        return Err(Error::InvalidRequest("A parameter is too long."));
    }
    // What the decoder puts where bytes are no UTF-8.
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Error::InvalidRequest("A parameter is not valid UTF-8."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn parse(body: &[u8]) -> Result<Form, Error> {
        let media = HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8");
        Form::parse(&HeaderMap::from_iter([(header::CONTENT_TYPE, media)]), body)
    }

    #[test]
    fn a_form_is_decoded_and_an_empty_parameter_is_absent() {
        let form = parse("username=Kim+%EB%AF%BC%EC%A7%80&scope=&password=a%26b".as_bytes()).unwrap();
        assert_eq!(form.get("username"), Some("Kim 민지"));
        assert_eq!(form.get("password"), Some("a&b"));
        assert_eq!(form.get("scope"), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in ["a=1&a=2", "a=%FF", &format!("a={}", "x".repeat(MAX_TEXT + 1))] {
            assert!(matches!(parse(body.as_bytes()), Err(Error::InvalidRequest(_))), "{body}");
        }
    }

    #[test]
    fn another_media_type_is_refused() {
        assert!(matches!(Form::parse(&HeaderMap::new(), b"a=1"), Err(Error::WrongMedia)));
    }

    #[test]
    fn parts_of_basic_credentials_are_form_encoded() {
        assert_eq!(decode_part("a%3Ab+c&d=e").unwrap(), "a:b c&d=e");
    }
}
