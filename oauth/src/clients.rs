//! Which client is asking, by HTTP Basic or by the form (RFC 6749, section 2.3.1).

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::directory::Directory;
use crate::domain::Client;
use crate::error::Error;
use crate::form::{Form, decode_part};
use crate::secrets;

/// What a client says of itself.
struct Credentials {
    id: String,
    secret: Option<String>,
}

pub fn authenticate(directory: &Directory, headers: &HeaderMap, form: &Form) -> Result<Client, Error> {
    let shown = credentials(headers, form)?;
    let client = directory.client(&shown.id).ok_or(Error::InvalidClient)?;
    let is_proven = match (&client.secret_hash, &shown.secret) {
        (Some(stored), Some(secret)) => secrets::matches(secret, stored),
        (None, None) => client.public,
        // A public client has no secret to show, and no other gets in without one.
        (Some(_), None) | (None, Some(_)) => false,
    };
    if is_proven { Ok(client.clone()) } else { Err(Error::InvalidClient) }
}

fn credentials(headers: &HeaderMap, form: &Form) -> Result<Credentials, Error> {
    let form_secret = form.get("client_secret");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let id = form.get("client_id").ok_or(Error::InvalidClient)?;
        return Ok(Credentials { id: id.to_owned(), secret: form_secret.map(str::to_owned) });
    };
    let shown = basic(value.to_str().map_err(|_| Error::InvalidClient)?)?;
    if form_secret.is_some() {
        return Err(Error::InvalidRequest("The client shows its secret in two ways."));
    }
    if form.get("client_id").is_some_and(|id| id != shown.id) {
        return Err(Error::InvalidRequest("The client has two ids."));
    }
    Ok(shown)
}

fn basic(value: &str) -> Result<Credentials, Error> {
    let (scheme, encoded) = value.split_once(' ').ok_or(Error::InvalidClient)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Error::InvalidClient);
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| Error::InvalidClient)?;
    let text = String::from_utf8(decoded).map_err(|_| Error::InvalidClient)?;
    let (id, secret) = text.split_once(':').ok_or(Error::InvalidClient)?;
    let secret = Some(decode_part(secret)?).filter(|secret| !secret.is_empty());
    Ok(Credentials { id: decode_part(id)?, secret })
}
