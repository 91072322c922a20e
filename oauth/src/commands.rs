//! The commands that keep the users file: they print a generated secret on stdout and everything else on stderr.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::directory::Directory;
use crate::domain::{Client, MAX_TEXT, User, parse_name, parse_role};
use crate::passwords;
use crate::secrets::{digest_of, generate};
use crate::users_file::edit;

/// After NIST SP 800-63B.
const SHORTEST_PASSWORD: usize = 8;
/// The command line was understood, but cannot be done as it stands.
const REFUSED: u8 = 2;

#[derive(Subcommand)]
pub enum Command {
    /// Add a user and print the password made for it.
    AddUser(AddUser),
    /// Add a client and print the secret made for it; a public client has none.
    AddClient(AddClient),
    /// Remove a user; refresh tokens of that user end at once, access tokens at their end.
    RemoveUser {
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        name: String,
    },
    /// Remove a client.
    RemoveClient {
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        id: String,
    },
    /// Read a password from stdin and print its Argon2id hash.
    HashPassword,
}

#[derive(Args)]
pub struct AddUser {
    /// The file of users and clients; made if it is missing.
    #[arg(long)]
    pub file: PathBuf,
    /// The name to log in with.
    #[arg(long, value_parser = parse_name)]
    pub name: String,
    /// A role; may be repeated.
    #[arg(long = "role", required = true, value_parser = parse_role)]
    pub roles: Vec<String>,
    /// The subject of the user's tokens; a random one unless it is given.
    #[arg(long, value_parser = parse_name)]
    pub id: Option<String>,
    /// Take the password from stdin instead of making one.
    #[arg(long)]
    pub password_stdin: bool,
    /// Replace the user if there is one of that name, who keeps the id unless another is given.
    #[arg(long)]
    pub replace: bool,
}

#[derive(Args)]
pub struct AddClient {
    /// The file of users and clients; made if it is missing.
    #[arg(long)]
    pub file: PathBuf,
    #[arg(long, value_parser = parse_name)]
    pub id: String,
    /// A role of the client's own tokens; may be repeated.
    #[arg(long = "role", value_parser = parse_role)]
    pub roles: Vec<String>,
    /// Runs where a secret would not stay one: acts for users only.
    #[arg(long, conflicts_with = "roles")]
    pub public: bool,
    /// Replace the client if there is one of that id.
    #[arg(long)]
    pub replace: bool,
}

/// Runs a command to its exit code.
pub fn execute(command: Command) -> ExitCode {
    let done = match command {
        Command::AddUser(arguments) => add_user(arguments),
        Command::AddClient(arguments) => add_client(arguments),
        Command::RemoveUser { file, name } => remove_user(file, &name),
        Command::RemoveClient { file, id } => remove_client(file, &id),
        Command::HashPassword => hash_password(),
    };
    match done {
        Ok(secret) => {
            if let Some(secret) = secret {
                println!("{secret}");
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("oauth: {problem}");
            ExitCode::from(REFUSED)
        }
    }
}

fn add_user(arguments: AddUser) -> Result<Option<String>, String> {
    let (password, made) = if arguments.password_stdin {
        (password_from_stdin()?, None)
    } else {
        let made = generate();
        (made.clone(), Some(made))
    };
    let password_hash = passwords::hash(&password).map_err(|error| error.to_string())?.to_string();
    let name = arguments.name.clone();
    edit(&arguments.file, |directory| {
        let known = directory.users.iter().position(|user| user.name == arguments.name);
        if known.is_some() && !arguments.replace {
            return Err(format!("there is a user {} already; --replace replaces it", arguments.name));
        }
        let old = known.map(|index| directory.users.remove(index));
        let id = arguments.id.or(old.map(|user| user.id)).unwrap_or_else(|| Uuid::new_v4().to_string());
        directory.users.push(User { id, name: arguments.name, roles: arguments.roles, password_hash });
        Ok(())
    })?;
    eprintln!("oauth: user {name} is in {}", arguments.file.display());
    Ok(made)
}

fn add_client(arguments: AddClient) -> Result<Option<String>, String> {
    let secret = (!arguments.public).then(generate);
    let client = Client {
        id: arguments.id.clone(),
        roles: arguments.roles,
        public: arguments.public,
        secret_hash: secret.as_deref().map(digest_of),
    };
    edit(&arguments.file, |directory| {
        if directory.client(&client.id).is_some() && !arguments.replace {
            return Err(format!("there is a client {} already; --replace replaces it", client.id));
        }
        directory.clients.retain(|known| known.id != client.id);
        directory.clients.push(client);
        Ok(())
    })?;
    eprintln!("oauth: client {} is in {}", arguments.id, arguments.file.display());
    Ok(secret)
}

fn remove_user(file: PathBuf, name: &str) -> Result<Option<String>, String> {
    remove(file, &format!("user {name}"), |directory| {
        let before = directory.users.len();
        directory.users.retain(|user| user.name != name);
        directory.users.len() < before
    })
}

fn remove_client(file: PathBuf, id: &str) -> Result<Option<String>, String> {
    remove(file, &format!("client {id}"), |directory| {
        let before = directory.clients.len();
        directory.clients.retain(|client| client.id != id);
        directory.clients.len() < before
    })
}

fn remove(file: PathBuf, what: &str, change: impl FnOnce(&mut Directory) -> bool) -> Result<Option<String>, String> {
    edit(
        &file,
        |directory| {
            if change(directory) { Ok(()) } else { Err(format!("there is no {what} in {}", file.display())) }
        },
    )?;
    eprintln!("oauth: {what} is removed from {}", file.display());
    Ok(None)
}

fn hash_password() -> Result<Option<String>, String> {
    let hash = passwords::hash(&password_from_stdin()?).map_err(|error| error.to_string())?;
    Ok(Some(hash.to_string()))
}

fn password_from_stdin() -> Result<String, String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_TEXT as u64 + 2)
        .read_to_string(&mut text)
        .map_err(|error| format!("the password cannot be read from stdin: {error}"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.chars().count() < SHORTEST_PASSWORD || password.len() > MAX_TEXT {
        return Err(format!("a password has {SHORTEST_PASSWORD} to {MAX_TEXT} characters, on one line of stdin"));
    }
    Ok(password.to_owned())
}
