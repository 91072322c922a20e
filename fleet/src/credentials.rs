//! The users and clients of the local fleet, made at its first start and kept in the data folder.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::{cli::Person, plan::users_file};

/// The public client in whose name the fleet asks for people's tokens.
pub const PUBLIC_CLIENT: &str = "fleet";

#[derive(Debug, Serialize, Deserialize)]
pub struct Credentials {
    pub client: Client,
    pub users: BTreeMap<Person, User>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub password: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("cannot use {}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("{} is damaged", file.display())]
    Damaged { file: PathBuf, source: Box<toml::de::Error> },
    #[error("the credentials cannot be written down")]
    Write(#[from] toml::ser::Error),
    #[error(
        "there are users in {} but {} is gone; put it back, or start afresh with `fleet reset`",
        users.display(), file.display()
    )]
    Lost { users: PathBuf, file: PathBuf },
    #[error("cannot run {}", .0.display())]
    Run(PathBuf, #[source] io::Error),
    #[error("`oauth {command}` failed: {reason}")]
    Oauth { command: String, reason: String },
}

pub fn file(data: &Path) -> PathBuf {
    data.join("credentials.toml")
}

impl Credentials {
    pub fn read(data: &Path) -> Result<Self, CredentialsError> {
        let file = file(data);
        let text = fs::read_to_string(&file).map_err(|source| CredentialsError::File { file: file.clone(), source })?;
        toml::from_str(&text).map_err(|source| CredentialsError::Damaged { file, source: Box::new(source) })
    }

    /// Those of the data folder, and whether they were made just now.
    pub fn read_or_make(data: &Path, oauth: &Path) -> Result<(Self, bool), CredentialsError> {
        let users = users_file(data);
        let file = file(data);
        match (users.exists(), file.exists()) {
            (true, true) => Ok((Self::read(data)?, false)),
            (true, false) => Err(CredentialsError::Lost { users, file }),
            (false, _) => Ok((Self::make(data, oauth)?, true)),
        }
    }

    /// The users' file appears last and whole, so that a start that was broken off is simply done again.
    fn make(data: &Path, oauth: &Path) -> Result<Self, CredentialsError> {
        let users = users_file(data);
        let unfinished = users.with_extension("toml.new");
        let on_file = |file: &Path| {
            let file = file.to_owned();
            move |source| CredentialsError::File { file, source }
        };
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(on_file(&unfinished)(error));
            }
            _ => {}
        }
        let add = |command: &str, arguments: &[&str]| add(oauth, command, &unfinished, arguments);
        let mut made = Self {
            client: Client {
                id: "reservation".to_owned(),
                secret: add("add-client", &["--id", "reservation", "--role", "service"])?,
            },
            users: BTreeMap::new(),
        };
        add("add-client", &["--id", PUBLIC_CLIENT, "--public"])?;
        for person in Person::ALL {
            let name = person.as_str();
            let password = add("add-user", &["--name", name, "--role", name])?;
            let name = name.to_owned();
            made.users.insert(person, User { name, password });
        }
        made.write(&file(data))?;
        fs::rename(&unfinished, &users).map_err(on_file(&users))?;
        Ok(made)
    }

    fn write(&self, file: &Path) -> Result<(), CredentialsError> {
        let text = toml::to_string(self)?;
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(file)
            .and_then(|mut open| io::Write::write_all(&mut open, text.as_bytes()));
        written.map_err(|source| CredentialsError::File { file: file.to_owned(), source })
    }
}

/// Runs one command of oauth on its file; the secret it made is the last word it prints.
fn add(oauth: &Path, command: &str, users: &Path, arguments: &[&str]) -> Result<String, CredentialsError> {
    let output = Command::new(oauth)
        .arg(command)
        .arg("--file")
        .arg(users)
        .args(arguments)
        .output()
        .map_err(|source| CredentialsError::Run(oauth.to_owned(), source))?;
    let failed = |reason: String| CredentialsError::Oauth { command: command.to_owned(), reason };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{}: {}", output.status, said.trim())));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let secret = said.split_whitespace().last().unwrap_or_default();
    if secret.is_empty() && !arguments.contains(&"--public") {
        return Err(failed("it printed no secret".to_owned()));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::{scratch, script};

    #[test]
    fn credentials_are_made_once_and_readable_by_their_owner_only() {
        let data = scratch("credentials");
        fs::create_dir_all(data.join("oauth")).expect("a folder");
        let oauth = script(&data, "oauth", "echo \"$@\" >>\"$3\"; echo secret-$5");

        let (made, new) = Credentials::read_or_make(&data, &oauth).expect("credentials");
        assert!(new);
        assert_eq!(made.client.secret, "secret-reservation");
        assert_eq!(made.users[&Person::Vet].password, "secret-vet");
        let mode = fs::metadata(file(&data)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let (again, new) = Credentials::read_or_make(&data, &oauth).expect("credentials");
        assert!(!new);
        assert_eq!(again.users[&Person::Desk].password, "secret-desk");
    }

    #[test]
    fn users_whose_passwords_are_lost_are_not_overwritten() {
        let data = scratch("lost");
        fs::create_dir_all(data.join("oauth")).expect("a folder");
        fs::write(users_file(&data), "").expect("a file");
        let error = Credentials::read_or_make(&data, Path::new("/none")).expect_err("lost");
        assert!(error.to_string().contains("fleet reset"), "{error}");
    }

    #[test]
    fn what_oauth_complains_about_is_told() {
        let data = scratch("complaint");
        fs::create_dir_all(data.join("oauth")).expect("a folder");
        let oauth = script(&data, "oauth", "echo no such role >&2; exit 78");
        let error = Credentials::read_or_make(&data, &oauth).expect_err("a failure");
        assert!(error.to_string().contains("no such role"), "{error}");
    }
}
