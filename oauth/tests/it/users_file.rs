//! The users file while the server runs.

use oauth::users_file::UsersFile;

use crate::support::{Oauth, unused_path};

#[tokio::test]
async fn a_user_who_is_added_or_removed_while_it_runs_is_known_or_unknown() {
    let oauth = Oauth::start().await;
    assert!(!oauth.app.users.reload().unwrap(), "nothing has changed");
    let text = std::fs::read_to_string(&oauth.file).unwrap();
    std::fs::write(&oauth.file, text.replace("\"kim\"", "\"choi\"")).unwrap();
    assert!(oauth.app.users.reload().unwrap());
    assert_eq!(oauth.log_in("choi").await.status, 200);
    assert_eq!(oauth.log_in("kim").await.status, 400);
}

#[tokio::test]
async fn a_file_that_breaks_while_it_runs_changes_nothing() {
    let oauth = Oauth::start().await;
    std::fs::write(&oauth.file, "[[users]]\nname = ").unwrap();
    assert!(oauth.app.users.reload().is_err());
    assert_eq!(oauth.log_in("kim").await.status, 200);
    std::fs::remove_file(&oauth.file).unwrap();
    assert!(oauth.app.users.reload().is_err());
    assert_eq!(oauth.log_in("kim").await.status, 200);
}

#[test]
fn a_missing_file_at_start_is_a_bad_setting_that_says_how_to_make_one() {
    let missing = unused_path();
    let error = UsersFile::open(missing.to_str().unwrap()).err().unwrap().to_string();
    assert!(error.contains("USERS_FILE") && error.contains("oauth add-user"), "{error}");
}

#[test]
fn without_a_file_there_is_nobody() {
    assert!(UsersFile::open("").unwrap().directory().users.is_empty());
}
