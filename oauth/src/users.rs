//! Whether a name and a password belong together.

use crate::App;
use crate::domain::User;
use crate::error::Error;
use crate::guesses;
use crate::passwords;

/// The user of that name and password. One that does not exist costs the same work and gets the same answer.
pub async fn log_in(app: &App, name: &str, password: &str) -> Result<User, Error> {
    let directory = app.users.directory();
    let user = directory.user_named(name);
    let stored = user.and_then(|user| passwords::parse(&user.password_hash).ok());

    let turn = app.passwords.turn().await?;
    let guess = guesses::take(app, name).await?;
    let is_right = turn.verify(password, stored).await?;
    match user {
        Some(user) if is_right => {
            guess.give_back(app).await?;
            Ok(user.clone())
        }
        _ => Err(Error::InvalidGrant("The name or the password is wrong.")),
    }
}
