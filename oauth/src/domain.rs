//! Users, clients and scopes, as tokens know them.

use contracts::roles;
use serde::{Deserialize, Serialize};

/// The roles a token can carry. A scope is a list of them.
pub const ROLES: [&str; 5] = [roles::CUSTOMER, roles::DESK, roles::VET, roles::ADMIN, roles::SERVICE];

/// No name, password or parameter of an honest client is longer.
pub const MAX_TEXT: usize = 1024;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The subject of the user's tokens: says nothing about the person and never changes.
    pub id: String,
    pub name: String,
    pub roles: Vec<String>,
    /// Argon2id, in the PHC format.
    pub password_hash: String,
}

/// A program that asks for tokens: on its own behalf if it has a secret, and on a user's behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Runs where a secret would not stay one, and so has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_hash: Option<String>,
}

/// The role of that name, or what there is instead.
pub fn parse_role(name: &str) -> Result<String, String> {
    if ROLES.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no role `{name}`; there are {}", ROLES.join(", ")))
}

/// An id or a name: visible, without spaces at its ends, and short.
pub fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && text.trim() == text && text.len() <= 100 && !text.chars().any(char::is_control);
    if is_plain { Ok(text.to_owned()) } else { Err("must be 1 to 100 visible characters".to_owned()) }
}

/// The roles a token gets: all that are `held`, or those of them that were asked for. `None` where more was asked.
pub fn grant_scope(held: &[String], asked: Option<&str>) -> Option<Vec<String>> {
    let Some(asked) = asked else { return Some(held.to_vec()) };
    let mut granted: Vec<String> = Vec::new();
    for name in asked.split(' ').filter(|name| !name.is_empty()) {
        let role = held.iter().find(|role| *role == name)?;
        if !granted.contains(role) {
            granted.push(role.clone());
        }
    }
    Some(granted).filter(|granted| !granted.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Vec<String> {
        vec![roles::DESK.to_owned(), roles::VET.to_owned()]
    }

    #[test]
    fn without_a_scope_all_roles_are_granted() {
        assert_eq!(grant_scope(&held(), None), Some(held()));
    }

    #[test]
    fn a_scope_narrows_the_roles_and_never_widens_them() {
        assert_eq!(grant_scope(&held(), Some("vet vet")), Some(vec!["vet".to_owned()]));
        assert_eq!(grant_scope(&held(), Some("vet admin")), None);
        assert_eq!(grant_scope(&held(), Some(" ")), None);
    }

    #[test]
    fn a_role_that_is_misspelt_is_refused_with_those_that_exist() {
        assert!(parse_role("vett").unwrap_err().contains("vet, admin"));
    }

    #[test]
    fn a_name_is_visible_and_short() {
        assert!(parse_name("Kim 민지").is_ok());
        for text in ["", " kim", "a\nb", &"x".repeat(101)] {
            assert!(parse_name(text).is_err(), "{text:?}");
        }
    }
}
