//! All SQL of this service.

use chassis::db::{Migration, Pool};
use chassis::{Db, DbError, Tx};
use sqlx::{FromRow, Row, any::AnyRow};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 100, name: "oauth", sql: include_str!("../migrations/0100_oauth.sql") }];

/// A signing key as it is kept.
pub struct StoredKey {
    pub kid: String,
    pub generation: i64,
    /// PKCS#8 in base64.
    pub private_key: String,
    pub active_from: i64,
    pub token_lifetime: i64,
}

impl<'r> FromRow<'r, AnyRow> for StoredKey {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            kid: row.try_get("kid")?,
            generation: row.try_get("generation")?,
            private_key: row.try_get("private_key")?,
            active_from: row.try_get("active_from")?,
            token_lifetime: row.try_get("token_lifetime")?,
        })
    }
}

pub async fn signing_keys(reader: &Pool) -> Result<Vec<StoredKey>, DbError> {
    let statement =
        "SELECT kid, generation, private_key, active_from, token_lifetime FROM signing_keys ORDER BY generation";
    Ok(sqlx::query_as(statement).fetch_all(reader).await?)
}

/// Nothing happens where another replica has made that generation before.
pub async fn insert_signing_key_in_tx(tx: &mut Tx, key: &StoredKey) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, generation, private_key, active_from, token_lifetime)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (generation) DO NOTHING",
    )
    .bind(&key.kid)
    .bind(key.generation)
    .bind(&key.private_key)
    .bind(key.active_from)
    .bind(key.token_lifetime)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn raise_token_lifetime_in_tx(tx: &mut Tx, lifetime: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE signing_keys SET token_lifetime = $1 WHERE token_lifetime < $1")
        .bind(lifetime)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn delete_signing_key_in_tx(tx: &mut Tx, kid: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM signing_keys WHERE kid = $1").bind(kid).execute(&mut **tx).await?;
    Ok(())
}

/// A login, from which refresh tokens descend.
#[derive(Debug, Clone)]
pub struct Family {
    pub id: String,
    pub client_id: String,
    pub subject: String,
    pub scope: String,
    pub credential: String,
    pub is_revoked: bool,
}

impl<'r> FromRow<'r, AnyRow> for Family {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            client_id: row.try_get("client_id")?,
            subject: row.try_get("subject")?,
            scope: row.try_get("scope")?,
            credential: row.try_get("credential")?,
            is_revoked: row.try_get::<Option<i64>, _>("revoked_at")?.is_some(),
        })
    }
}

pub async fn insert_family_in_tx(tx: &mut Tx, family: &Family) -> Result<(), DbError> {
    sqlx::query("INSERT INTO refresh_families (id, client_id, subject, scope, credential) VALUES ($1, $2, $3, $4, $5)")
        .bind(&family.id)
        .bind(&family.client_id)
        .bind(&family.subject)
        .bind(&family.scope)
        .bind(&family.credential)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn family_in_tx(tx: &mut Tx, id: &str) -> Result<Family, DbError> {
    let statement = "SELECT id, client_id, subject, scope, credential, revoked_at FROM refresh_families WHERE id = $1";
    Ok(sqlx::query_as(statement).bind(id).fetch_one(&mut **tx).await?)
}

pub async fn revoke_family_in_tx(tx: &mut Tx, id: &str, now: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE refresh_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
        .bind(id)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn insert_refresh_token_in_tx(
    tx: &mut Tx,
    token_hash: &str,
    family: &str,
    expires_at: i64,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO refresh_tokens (token_hash, family, expires_at) VALUES ($1, $2, $3)")
        .bind(token_hash)
        .bind(family)
        .bind(expires_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What a refresh token says when it is shown.
pub struct Shown {
    pub family: String,
    /// The first time it was shown, which may be this time.
    pub used_at: i64,
    /// Whoever showed it first has put it there.
    pub successor_salt: String,
}

/// Marks a token as used, unless it is already, and locks its row; `None` where it is unknown, over, or another
/// client's.
pub async fn use_refresh_token_in_tx(
    tx: &mut Tx,
    token_hash: &str,
    client_id: &str,
    salt: &str,
    now: i64,
) -> Result<Option<Shown>, DbError> {
    let row: Option<(String, i64, String)> = sqlx::query_as(
        "UPDATE refresh_tokens
         SET used_at = COALESCE(used_at, $4), successor_salt = COALESCE(successor_salt, $3)
         WHERE token_hash = $1 AND expires_at > $4
           AND family IN (SELECT id FROM refresh_families WHERE client_id = $2)
         RETURNING family, used_at, successor_salt",
    )
    .bind(token_hash)
    .bind(client_id)
    .bind(salt)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(family, used_at, successor_salt)| Shown { family, used_at, successor_salt }))
}

/// Takes a slot whose guess, if any, was made before `since`; whether there was one to take.
pub async fn take_slot_in_tx(tx: &mut Tx, account: &str, slot: i64, since: i64, now: i64) -> Result<bool, DbError> {
    let taken = sqlx::query(
        "INSERT INTO guesses (account, slot, made_at) VALUES ($1, $2, $3)
         ON CONFLICT (account, slot) DO UPDATE SET made_at = $3 WHERE guesses.made_at <= $4",
    )
    .bind(account)
    .bind(slot)
    .bind(now)
    .bind(since)
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected() == 1)
}

pub async fn oldest_guess_in_tx(tx: &mut Tx, account: &str) -> Result<Option<i64>, DbError> {
    let statement = "SELECT MIN(made_at) FROM guesses WHERE account = $1";
    let (oldest,): (Option<i64>,) = sqlx::query_as(statement).bind(account).fetch_one(&mut **tx).await?;
    Ok(oldest)
}

pub async fn free_slot_in_tx(tx: &mut Tx, account: &str, slot: i64) -> Result<(), DbError> {
    sqlx::query("DELETE FROM guesses WHERE account = $1 AND slot = $2")
        .bind(account)
        .bind(slot)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes refresh tokens that have ended, logins without any, and guesses that no longer count.
pub async fn clean_up(db: &Db, now: i64, guesses_before: i64) -> Result<(), DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            sqlx::query("DELETE FROM refresh_tokens WHERE expires_at <= $1").bind(now).execute(&mut **tx).await?;
            sqlx::query(
                "DELETE FROM refresh_families
                 WHERE NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE family = refresh_families.id)",
            )
            .execute(&mut **tx)
            .await?;
            sqlx::query("DELETE FROM guesses WHERE made_at <= $1").bind(guesses_before).execute(&mut **tx).await?;
            Ok(())
        })
    })
    .await
}
