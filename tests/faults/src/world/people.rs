//! Who may: the users and clients of this world, and their tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::OnceCell;

use super::command::output;
use super::{World, WorldError};

pub const PUBLIC_CLIENT: &str = "fleet";
const ROLES: [&str; 4] = ["customer", "vet", "desk", "admin"];

/// The same in all worlds of a campaign: hashing a password is slow by design.
static REGISTERED: OnceCell<Registered> = OnceCell::const_new();

pub struct People {
    /// What oauth reads.
    pub file: PathBuf,
    registered: &'static Registered,
    tokens: Mutex<BTreeMap<String, String>>,
}

struct Registered {
    users: Vec<u8>,
    service_secret: String,
    passwords: BTreeMap<&'static str, String>,
}

impl People {
    pub async fn make(oauth: &Path, folder: &Path) -> Result<Self, WorldError> {
        let file = folder.join("users.toml");
        let registered = REGISTERED.get_or_try_init(|| Registered::make(oauth, &file)).await?;
        std::fs::write(&file, &registered.users)
            .map_err(|source| WorldError::io(format!("write {}", file.display()), source))?;
        Ok(Self { file, registered, tokens: Mutex::default() })
    }

    /// What reservation shows to diagnosis.
    pub fn service_secret(&self) -> &str {
        &self.registered.service_secret
    }
}

impl Registered {
    async fn make(oauth: &Path, file: &Path) -> Result<Self, WorldError> {
        let path = file.to_string_lossy().into_owned();
        // What a command has made it prints alone.
        let add = async |words: &[&str]| {
            let words = [&[words[0], "--file", &path], &words[1..]].concat();
            output(oauth, &words).await.map(|secret| secret.trim().to_owned())
        };
        let service_secret = add(&["add-client", "--id", "reservation", "--role", "service"]).await?;
        add(&["add-client", "--id", PUBLIC_CLIENT, "--public"]).await?;
        let mut passwords = BTreeMap::new();
        for role in ROLES {
            passwords.insert(role, add(&["add-user", "--name", role, "--role", role]).await?);
        }
        let users = std::fs::read(file).map_err(|source| WorldError::io(format!("read {}", file.display()), source))?;
        Ok(Self { users, service_secret, passwords })
    }
}

impl World {
    /// A token of the user with this role, made anew where none is remembered.
    pub async fn token(&self, role: &str) -> Result<String, WorldError> {
        let remembered = self.people.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(role).cloned();
        if let Some(token) = remembered {
            return Ok(token);
        }
        let answer = self.log_in(role).await?;
        let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        self.people.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(role.to_owned(), token.clone());
        Ok(token)
    }

    /// The whole answer to a new login, with its refresh token.
    pub async fn log_in(&self, role: &str) -> Result<Value, WorldError> {
        let password = self.people.registered.passwords.get(role);
        let password = password.ok_or_else(|| WorldError::failed(format!("nobody has the role {role}")))?;
        let form = [
            ("grant_type", "password"),
            ("client_id", PUBLIC_CLIENT),
            ("username", role),
            ("password", password.as_str()),
        ];
        let url = format!("{}/oauth/token", self.service(super::Node::Oauth)[0].url());
        let answer = self.http.post(url).form(&form).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }
}
