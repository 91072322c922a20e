//! The three grants, and the access token that each ends in.

use chassis::auth::Claims;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::domain::{Client, grant_scope};
use crate::error::Error;
use crate::form::Form;
use crate::{refresh, users};

#[derive(Debug, Serialize, ToSchema)]
pub struct TokenAnswer {
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// Gets the next access token without a password; for users only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The roles the token carries.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(example = "customer")]
    pub scope: String,
}

/// Does what the form asks for, for a client that has shown who it is.
pub async fn grant(app: &App, client: &Client, form: &Form) -> Result<TokenAnswer, Error> {
    match form.require("grant_type", "grant_type is missing.")? {
        "client_credentials" => client_credentials(app, client, form).await,
        "password" if app.config.grants.password => password(app, client, form).await,
        "password" => Err(Error::UnsupportedGrant("The password grant is switched off here.")),
        "refresh_token" => refresh_token(app, client, form).await,
        _ => Err(Error::UnsupportedGrant("Known are client_credentials, password and refresh_token.")),
    }
}

async fn client_credentials(app: &App, client: &Client, form: &Form) -> Result<TokenAnswer, Error> {
    if client.public {
        return Err(Error::UnauthorizedClient("A public client gets no token of its own."));
    }
    let roles = grant_scope(&client.roles, form.get("scope")).ok_or(Error::InvalidScope)?;
    answer(app, client, &client.id, roles, None).await
}

async fn password(app: &App, client: &Client, form: &Form) -> Result<TokenAnswer, Error> {
    let name = form.require("username", "username is missing.")?;
    let password = form.require("password", "password is missing.")?;
    let user = users::log_in(app, name, password).await?;
    let roles = grant_scope(&user.roles, form.get("scope")).ok_or(Error::InvalidScope)?;
    let refresh_token = refresh::begin(app, client, &user, &roles.join(" ")).await?;
    answer(app, client, &user.id, roles, Some(refresh_token)).await
}

async fn refresh_token(app: &App, client: &Client, form: &Form) -> Result<TokenAnswer, Error> {
    let shown = form.require("refresh_token", "refresh_token is missing.")?;
    let renewed = refresh::renew(app, client, shown).await?;
    // What the login was granted, as far as the user still has it.
    let held: Vec<String> = renewed
        .scope
        .split(' ')
        .filter(|name| renewed.user.roles.iter().any(|role| role == name))
        .map(str::to_owned)
        .collect();
    let roles = grant_scope(&held, form.get("scope")).ok_or(Error::InvalidScope)?;
    answer(app, client, &renewed.user.id, roles, Some(renewed.refresh_token)).await
}

async fn answer(
    app: &App,
    client: &Client,
    subject: &str,
    roles: Vec<String>,
    refresh_token: Option<String>,
) -> Result<TokenAnswer, Error> {
    let now = app.clock.now().as_second();
    let expires_in = app.config.tokens.access_lifetime.as_secs();
    let scope = roles.join(" ");
    let claims = Claims {
        iss: app.config.issuer.url.clone(),
        sub: subject.to_owned(),
        aud: app.audience.clone(),
        exp: now + expires_in as i64,
        nbf: now,
        iat: now,
        jti: Uuid::new_v4().to_string(),
        client_id: client.id.clone(),
        roles,
    };
    let access_token = app.keys.sign(&claims).await?;
    metrics::counter!("oauth_tokens_issued_total").increment(1);
    Ok(TokenAnswer { access_token, token_type: "Bearer", expires_in, refresh_token, scope })
}
