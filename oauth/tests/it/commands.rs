//! The commands, through the real binary.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use oauth::directory::Directory;

use crate::support::unused_path;

fn run(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_oauth"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn add_user(file: &Path, more: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    run(&[&["add-user", "--file", file, "--name", "kim", "--role", "customer"], more].concat(), "")
}

fn is_password(password: &str, hash: &str) -> bool {
    use argon2::{Argon2, PasswordVerifier};
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

#[test]
fn a_user_is_added_with_a_password_that_is_printed_once_and_stored_as_a_hash() {
    let file = unused_path();
    let printed = stdout(&add_user(&file, &["--role", "vet"]));
    let password = printed.strip_suffix('\n').unwrap();
    assert_eq!(password.len(), 43);

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(password));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let user = Directory::parse(&text).unwrap().users.remove(0);
    assert_eq!((user.name.as_str(), user.roles), ("kim", vec!["customer".to_owned(), "vet".to_owned()]));
    assert!(uuid::Uuid::parse_str(&user.id).is_ok());
    assert!(is_password(password, &user.password_hash));
}

#[test]
fn a_known_user_is_replaced_on_demand_only_and_keeps_the_id() {
    let file = unused_path();
    let first = stdout(&add_user(&file, &[]));
    let before = Directory::read(&file).unwrap();
    let refused = add_user(&file, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stdout.is_empty());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--replace"));
    assert_eq!(Directory::read(&file).unwrap(), before);

    let second = stdout(&add_user(&file, &["--replace"]));
    assert_ne!(first, second);
    let after = Directory::read(&file).unwrap();
    assert_eq!(after.users.len(), 1);
    assert_eq!(after.users[0].id, before.users[0].id);
    assert!(is_password(second.trim_end(), &after.users[0].password_hash));
}

#[test]
fn a_client_gets_a_secret_and_a_public_one_none() {
    let file = unused_path();
    let path = file.to_str().unwrap();
    let printed = stdout(&run(&["add-client", "--file", path, "--id", "reservation", "--role", "service"], ""));
    let secret = printed.strip_suffix('\n').unwrap();
    assert_eq!(stdout(&run(&["add-client", "--file", path, "--id", "cli", "--public"], "")), "");
    let directory = Directory::read(&file).unwrap();
    let client = directory.client("reservation").unwrap();
    assert!(oauth::secrets::matches(secret, client.secret_hash.as_deref().unwrap()));
    assert!(directory.client("cli").unwrap().public);
    assert!(!std::fs::read_to_string(&file).unwrap().contains(secret));
}

#[test]
fn a_password_from_stdin_is_taken_and_not_repeated() {
    let file = unused_path();
    let path = file.to_str().unwrap();
    let arguments =
        ["add-user", "--file", path, "--name", "kim", "--role", "customer", "--id", "7", "--password-stdin"];
    assert_eq!(stdout(&run(&arguments, "correct horse\n")), "");
    let user = Directory::read(&file).unwrap().users.remove(0);
    assert_eq!(user.id, "7");
    assert!(is_password("correct horse", &user.password_hash));
    let hash = stdout(&run(&["hash-password"], "correct horse"));
    assert!(is_password("correct horse", hash.trim_end()));
    let too_short = run(&["hash-password"], "short\n");
    assert_eq!(too_short.status.code(), Some(2));
}

#[test]
fn users_and_clients_are_removed_and_a_missing_one_is_named() {
    let file = unused_path();
    let path = file.to_str().unwrap();
    stdout(&add_user(&file, &[]));
    stdout(&run(&["add-client", "--file", path, "--id", "cli", "--public"], ""));
    stdout(&run(&["remove-user", "--file", path, "--name", "kim"], ""));
    stdout(&run(&["remove-client", "--file", path, "--id", "cli"], ""));
    assert_eq!(Directory::read(&file).unwrap(), Directory::default());
    let missing = run(&["remove-user", "--file", path, "--name", "kim"], "");
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no user kim"));
}

#[test]
fn commands_at_once_lose_nothing() {
    let file = unused_path();
    let path = file.to_str().unwrap();
    let ids: Vec<String> = (0..8).map(|number| format!("client-{number}")).collect();
    std::thread::scope(|scope| {
        for id in &ids {
            scope.spawn(move || stdout(&run(&["add-client", "--file", path, "--id", id, "--public"], "")));
        }
    });
    assert_eq!(Directory::read(&file).unwrap().clients.len(), ids.len());
}

#[test]
fn a_misspelt_role_adds_nobody() {
    let file = unused_path();
    let output = add_user(&file, &["--role", "king"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!file.exists());
}

#[test]
fn a_missing_users_file_stops_the_start_as_a_bad_setting() {
    let output = run(&["--set", "users.file=/nowhere/users.toml", "--set", "http.port=0"], "");
    assert_eq!(output.status.code(), Some(78), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("users.file"));
}

#[tokio::test]
async fn the_database_with_the_private_keys_is_its_owners_alone() {
    let path = unused_path().with_extension("db");
    let settings = chassis::config::Database {
        url: chassis::Secret::new(format!("sqlite:{}", path.display())),
        password: chassis::Secret::default(),
        max_connections: 1,
    };
    let db = chassis::Db::open(&settings, oauth::store::MIGRATIONS).await.unwrap();
    oauth::store::clean_up(&db, 0, 0).await.unwrap();
    for file in [path.clone(), path.with_extension("db-wal")] {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}
