//! Refresh tokens: each is used once and has one successor; one that comes back later was stolen.
//!
//! Only digests are stored. The successor of a token is made of the token itself and a salt that its first use
//! leaves in the database, so that every one of several uses at once comes to the same successor.

use chassis::DbError;
use uuid::Uuid;

use crate::App;
use crate::domain::{Client, User};
use crate::error::Error;
use crate::secrets::{digest_of, generate, successor};
use crate::store::{self, Family};

/// What came of showing a refresh token.
enum Outcome {
    Renewed { family: Family, token: String },
    Reused { family: String },
    Refused,
}

/// A login that goes on.
pub struct Renewed {
    pub user: User,
    /// The roles the login was granted at its start.
    pub scope: String,
    pub refresh_token: String,
}

/// Begins a login: its first refresh token.
pub async fn begin(app: &App, client: &Client, user: &User, scope: &str) -> Result<String, Error> {
    let token = generate();
    let token_hash = digest_of(&token);
    let expires_at = app.clock.now_ms() + app.config.tokens.refresh_lifetime.as_millis() as i64;
    let family = Family {
        id: Uuid::new_v4().to_string(),
        client_id: client.id.clone(),
        subject: user.id.clone(),
        scope: scope.to_owned(),
        credential: digest_of(&user.password_hash),
        is_revoked: false,
    };
    let begun = app.db.write(move |tx| {
        Box::pin(async move {
            store::insert_family_in_tx(tx, &family).await?;
            store::insert_refresh_token_in_tx(tx, &token_hash, &family.id, expires_at).await
        })
    });
    begun.await.map_err(|error: DbError| error)?;
    Ok(token)
}

/// Exchanges a refresh token for its successor.
pub async fn renew(app: &App, client: &Client, token: &str) -> Result<Renewed, Error> {
    const ENDED: Error = Error::InvalidGrant("The refresh token is not valid, or no longer.");
    let (family, refresh_token) = match show(app, client, token).await? {
        Outcome::Renewed { family, token } => (family, token),
        Outcome::Reused { family } => {
            tracing::warn!(client.id, family, "a refresh token came back after its use; its login has ended");
            return Err(ENDED);
        }
        Outcome::Refused => return Err(ENDED),
    };
    // The user may be gone, or have another password since.
    let directory = app.users.directory();
    let user = directory.user(&family.subject).filter(|user| digest_of(&user.password_hash) == family.credential);
    Ok(Renewed { user: user.ok_or(ENDED)?.clone(), scope: family.scope, refresh_token })
}

async fn show(app: &App, client: &Client, token: &str) -> Result<Outcome, DbError> {
    let now = app.clock.now_ms();
    let tokens = &app.config.tokens;
    let expires_at = now + tokens.refresh_lifetime.as_millis() as i64;
    let overlap = tokens.refresh_overlap.as_millis() as i64;
    let (client_id, token, salt) = (client.id.clone(), token.to_owned(), generate());
    app.db
        .write(move |tx| {
            Box::pin(async move {
                let used = store::use_refresh_token_in_tx(tx, &digest_of(&token), &client_id, &salt, now).await?;
                let Some(shown) = used else { return Ok(Outcome::Refused) };
                let family = store::family_in_tx(tx, &shown.family).await?;
                if family.is_revoked {
                    return Ok(Outcome::Refused);
                }
                if now - shown.used_at > overlap {
                    store::revoke_family_in_tx(tx, &family.id, now).await?;
                    return Ok(Outcome::Reused { family: family.id });
                }
                let next = successor(&token, &shown.successor_salt);
                let is_first = shown.successor_salt == salt;
                if is_first {
                    store::insert_refresh_token_in_tx(tx, &digest_of(&next), &family.id, expires_at).await?;
                }
                Ok(Outcome::Renewed { family, token: next })
            })
        })
        .await
}
