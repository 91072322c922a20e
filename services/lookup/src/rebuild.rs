//! Builds the view anew from the topic.
//!
//! View and inbox are emptied together and a mark is set; everything in the topic is taken in; the mark is
//! removed. The service does not start on a view with the mark, because it would go on from its group's offsets
//! and never see what is still missing. Afterwards the inbox recognises what the group has yet to read.

use std::fmt;

use chassis::events::{consumer, dead_letter, replay::Replay};
use chassis::http::problem::chain;
use chassis::{Clock, Db, DbError, StartError};

use crate::{Config, handler, store};

/// What a rebuild has done.
#[derive(Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub events: usize,
    pub rows: i64,
    pub parked: usize,
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rebuilt from {} events: {} rows, {} messages parked", self.events, self.rows, self.parked)
    }
}

/// The broker is asked before anything is emptied.
pub async fn rebuild(config: Config, accepts_gaps: bool) -> Result<Rebuilt, StartError> {
    let db = Db::open(&config.database, store::MIGRATIONS).await?;
    let mut replay = Replay::open(&config.kafka).await.map_err(failed)?;
    if !replay.is_whole() && !accepts_gaps {
        return Err(StartError::Other(
            "the topic no longer has its first messages, and the view would lose what only they told; \
             --incomplete goes on all the same"
                .to_owned(),
        ));
    }

    store::empty(&db, Clock::system().now_ms()).await.map_err(failed)?;
    let (handler, mut events) = (handler(), 0);
    loop {
        let batch = replay.next_batch().await.map_err(failed)?;
        if batch.is_empty() {
            break;
        }
        consumer::take_in(&db, &handler, &batch).await.map_err(failed)?;
        events += batch.len();
    }
    store::finish_rebuild(&db).await.map_err(failed)?;

    let rows = store::count_all(&db).await.map_err(failed)?;
    let parked = dead_letter::list(&db, None, 0, 1000).await.map_err(failed)?.len();
    db.close().await;
    Ok(Rebuilt { events, rows, parked })
}

/// A view that is not whole must not be served.
pub async fn refuse_half_built(db: &Db) -> Result<(), StartError> {
    let is_half_built = store::is_being_rebuilt(db).await.map_err(|error: DbError| failed(error))?;
    if is_half_built {
        return Err(StartError::Other("a rebuild of the view did not end; run `lookup rebuild` again".to_owned()));
    }
    Ok(())
}

fn failed(error: impl std::error::Error + 'static) -> StartError {
    StartError::Other(chain(&error))
}
