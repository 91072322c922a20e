//! Wrong passwords, counted in the database for each account, so that replicas and restarts count together.
//!
//! A guess is taken before the password is checked and given back if it was right: guesses made at the same
//! moment cannot slip past the limit together.

use chassis::DbError;

use crate::App;
use crate::error::Error;
use crate::secrets::digest_of;
use crate::store;

/// One guess that is being made.
pub struct Guess {
    account: String,
    slot: i64,
}

/// Takes one of the account's guesses; an account nobody has is counted like any other.
pub async fn take(app: &App, name: &str) -> Result<Guess, Error> {
    let account = digest_of(name);
    let settings = &app.config.passwords;
    let (limit, window) = (settings.guesses, settings.guess_window.as_millis() as i64);
    let now = app.clock.now_ms();
    let key = account.clone();
    let taken = app.db.write(move |tx| {
        Box::pin(async move {
            // Always from the first slot on: two replicas at once lock the rows in the same order.
            for slot in 0..limit {
                if store::take_slot_in_tx(tx, &key, slot, now - window, now).await? {
                    return Ok::<_, DbError>(Ok(slot));
                }
            }
            Ok(Err(store::oldest_guess_in_tx(tx, &key).await?.unwrap_or(now)))
        })
    });
    match taken.await? {
        Ok(slot) => Ok(Guess { account, slot }),
        Err(oldest) => {
            let seconds = (oldest + window - now).max(0) / 1000 + 1;
            Err(Error::TooManyGuesses { retry_after: seconds })
        }
    }
}

impl Guess {
    /// It was no guess: the password was right.
    pub async fn give_back(self, app: &App) -> Result<(), Error> {
        let returned =
            app.db.write(move |tx| Box::pin(async move { store::free_slot_in_tx(tx, &self.account, self.slot).await }));
        Ok(returned.await.map_err(|error: DbError| error)?)
    }
}
