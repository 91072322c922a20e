//! A person's token, by the password grant.

use std::{net::SocketAddr, path::Path};

use hyper::Method;
use url::form_urlencoded;

use crate::{
    cli::Person,
    credentials::{Credentials, CredentialsError, PUBLIC_CLIENT},
    http::{self, Content, HttpError},
};

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("there are no credentials")]
    Credentials(#[from] CredentialsError),
    #[error("there is no such user as {0}")]
    Unknown(&'static str),
    #[error("oauth gives no token")]
    Http(#[from] HttpError),
    #[error("oauth gives no token: {status} {body}")]
    Refused { status: u16, body: String },
}

pub async fn token(data: &Path, oauth: SocketAddr, person: Person) -> Result<String, TokenError> {
    let credentials = Credentials::read(data)?;
    let user = credentials.users.get(&person).ok_or(TokenError::Unknown(person.as_str()))?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "password")
        .append_pair("client_id", PUBLIC_CLIENT)
        .append_pair("username", &user.name)
        .append_pair("password", &user.password)
        .finish();
    let content = Content { media_type: "application/x-www-form-urlencoded", text: form };
    let path = "/oauth/token";
    let answer = http::send(oauth, Method::POST, path, None, Some(content)).await?;
    match answer.json()["access_token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => Err(TokenError::Refused { status: answer.status, body: answer.body }),
    }
}
