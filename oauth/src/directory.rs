//! The users and clients, as the file says them.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::{Client, User, parse_name, parse_role};
use crate::{passwords, secrets};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Client>,
}

impl Directory {
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        // The error would quote the line, and with it the hash of a secret.
        let directory: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            format!("line {line}: {}", error.message())
        })?;
        directory.check()?;
        Ok(directory)
    }

    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    pub fn check(&self) -> Result<(), String> {
        let (mut names, mut subjects) = (HashSet::new(), HashSet::new());
        for user in &self.users {
            check_user(user)?;
            if !names.insert(&user.name) {
                return Err(format!("user {}: the name is there twice", user.id));
            }
        }
        for client in &self.clients {
            check_client(client)?;
        }
        // A client whose id is a user's could pass for that user: both are the subject of a token.
        let ids = self.users.iter().map(|user| &user.id).chain(self.clients.iter().map(|client| &client.id));
        for id in ids {
            if !subjects.insert(id) {
                return Err(format!("the id {id} is there twice"));
            }
        }
        Ok(())
    }
}

fn check_user(user: &User) -> Result<(), String> {
    let named = |what: &str, problem: String| format!("user {}: {what} {problem}", user.id);
    parse_name(&user.id).map_err(|problem| named("id", problem))?;
    parse_name(&user.name).map_err(|problem| named("name", problem))?;
    check_roles(&user.roles).map_err(|problem| named("roles:", problem))?;
    passwords::parse(&user.password_hash).map_err(|problem| named("password_hash", problem))?;
    Ok(())
}

fn check_client(client: &Client) -> Result<(), String> {
    let named = |what: &str, problem: String| format!("client {}: {what} {problem}", client.id);
    parse_name(&client.id).map_err(|problem| named("id", problem))?;
    check_roles(&client.roles).map_err(|problem| named("roles:", problem))?;
    if client.public == client.secret_hash.is_some() {
        return Err(named("secret_hash", "is what a client has unless it is public".to_owned()));
    }
    if client.secret_hash.as_ref().is_some_and(|digest| !secrets::is_digest(digest)) {
        return Err(named("secret_hash", "is no SHA-256 in base64url; `oauth add-client` makes one".to_owned()));
    }
    Ok(())
}

fn check_roles(roles: &[String]) -> Result<(), String> {
    roles.iter().try_for_each(|role| parse_role(role).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn user(id: &str, name: &str, role: &str) -> String {
        format!("[[users]]\nid = \"{id}\"\nname = \"{name}\"\nroles = [\"{role}\"]\npassword_hash = \"{HASH}\"\n")
    }

    #[test]
    fn users_and_clients_are_found_by_name_and_id() {
        let text = format!("{}[[clients]]\nid = \"cli\"\npublic = true\n", user("u1", "kim", "customer"));
        let directory = Directory::parse(&text).unwrap();
        assert_eq!(directory.user_named("kim").unwrap().id, "u1");
        assert!(directory.user("u1").is_some() && directory.user("kim").is_none());
        assert!(directory.client("cli").unwrap().public);
    }

    #[test]
    fn what_is_ambiguous_or_unusable_is_refused_and_named() {
        let twice = user("u1", "kim", "customer") + &user("u2", "kim", "desk");
        let same_subject = user("cli", "kim", "vet") + "[[clients]]\nid = \"cli\"\npublic = true\n";
        for (text, reason) in [
            (twice, "the name is there twice"),
            (same_subject, "the id cli is there twice"),
            (user("u1", "kim", "king"), "no role `king`"),
            (user("u1", "kim", "vet").replace(HASH, "hunter2"), "password_hash is no password hash"),
            ("[[clients]]\nid = \"cli\"\n".to_owned(), "client cli: secret_hash"),
            ("[[clients]]\nid = \"cli\"\nsecret_hash = \"hunter2\"\n".to_owned(), "is no SHA-256"),
            ("[[clients]]\nid = \"cli\"\npubic = true\n".to_owned(), "line 3: unknown field `pubic`"),
        ] {
            let problem = Directory::parse(&text).unwrap_err();
            assert!(problem.contains(reason), "{problem}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_hash() {
        let text = user("u1", "kim", "vet").replace("password_hash = ", "password_hash = 1 ");
        assert!(!Directory::parse(&text).unwrap_err().contains("argon2id"));
    }
}
