//! Builds the view anew from the topic, while the service goes on.
//!
//! Everything in the topic is folded into a shadow of the tables, with an inbox of its own. At the end nobody may
//! take anything in for a moment: what has come meanwhile is read, and what differs is changed over in the same
//! transaction. Readers see the one view or the other. Until then nothing of the live view is touched.

use std::process::ExitCode;

use chassis::config::Kafka;
use chassis::events::consumer;
use chassis::events::dead_letter::{self, Which};
use chassis::events::replay::{Places, Replay, ReplayError};
use chassis::events::{Handler, Message};
use chassis::http::problem::chain;
use chassis::{Db, DbError, StartError, Tx};
use clap::Args;
use serde::Serialize;

use crate::{Config, changeover, handler, store};

/// What a rebuild is to do.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Wanted {
    /// Only compare the view with what the events say; exit code 1 if they differ
    #[arg(long)]
    pub check: bool,
    /// Go on even if the topic no longer has its first messages: what only they told is lost
    #[arg(long)]
    pub incomplete: bool,
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// What a rebuild has found and done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebuilt {
    pub events: usize,
    pub rows: i64,
    pub parked: i64,
    /// Of the view as it was, as the events have it, and as it is now.
    pub checksum_before: String,
    pub checksum_of_events: String,
    pub checksum_now: String,
    /// Rows of the view that were not what the events say.
    pub differing: u64,
}

impl Rebuilt {
    pub fn is_equal(&self) -> bool {
        self.checksum_now == self.checksum_of_events
    }

    fn text(&self) -> String {
        let Self { events, rows, parked, checksum_before, checksum_of_events, checksum_now, differing } = self;
        format!(
            "{events} events give {rows} rows and {parked} parked messages, checksum {checksum_of_events}\n\
             the view had checksum {checksum_before}, {differing} of its rows differed\n\
             the view has checksum {checksum_now}"
        )
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("another rebuild has begun meanwhile; the view is as it was")]
    Overtaken,
}

impl From<RebuildError> for StartError {
    fn from(error: RebuildError) -> Self {
        Self::Other(chain(&error))
    }
}

pub async fn execute(config: Config, wanted: Wanted) -> Result<ExitCode, StartError> {
    let rebuilt = rebuild(config, wanted).await?;
    chassis::run::print(wanted.json, &rebuilt, || rebuilt.text())?;
    Ok(if rebuilt.is_equal() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rebuild(config: Config, wanted: Wanted) -> Result<Rebuilt, StartError> {
    let replay = Replay::open(&config.kafka, Places::new()).await.map_err(RebuildError::from)?;
    if !replay.is_whole() && !wanted.incomplete {
        return Err(StartError::Other(
            "the topic no longer has its first messages, and the view would lose what only they told; \
             --incomplete goes on all the same"
                .to_owned(),
        ));
    }
    let (live, shadow) = Db::attach_with_shadow(&config.database, store::MIGRATIONS).await?;
    let mut build = Build::begin(&shadow).await?;
    let places = build.take_in_all(replay).await?;
    let rebuilt = change_over(&live, build, config.kafka, places, wanted.check).await?;
    live.remove_shadow(&config.database, shadow).await?;
    live.close().await;
    Ok(rebuilt)
}

/// A view in the making, in a shadow of the tables.
pub struct Build {
    shadow: Db,
    handler: Handler,
    /// In the shadow as well: should another rebuild begin, it is gone.
    token: i64,
    events: usize,
}

impl Build {
    pub async fn begin(shadow: &Db) -> Result<Self, DbError> {
        let token = chassis::Clock::system().now_ms() ^ i64::from(std::process::id());
        let written: Result<(), DbError> = shadow
            .write(move |tx| {
                Box::pin(async move {
                    let insert = sqlx::query("INSERT INTO rebuild (id, began_at) VALUES (1, $1)").bind(token);
                    insert.execute(&mut **tx).await?;
                    Ok(())
                })
            })
            .await;
        written?;
        Ok(Self { shadow: shadow.clone(), handler: handler(), token, events: 0 })
    }

    pub async fn take_in(&mut self, batch: &[Message]) -> Result<(), DbError> {
        consumer::take_in(&self.shadow, &self.handler, &batch.to_vec().into()).await?;
        self.events += batch.len();
        Ok(())
    }

    async fn take_in_all(&mut self, mut replay: Replay) -> Result<Places, RebuildError> {
        loop {
            let batch = replay.next_batch().await?;
            if batch.is_empty() {
                return Ok(replay.into_places());
            }
            self.take_in(&batch).await?;
        }
    }

    /// Nobody takes anything in while this transaction lasts, and everything there is has been taken in here.
    pub async fn finish_in_tx(mut self, tx: &mut Tx, check: bool) -> Result<Rebuilt, RebuildError> {
        self.pass_over_discarded(tx).await?;
        if changeover::token_in_tx(tx).await? != Some(self.token) {
            return Err(RebuildError::Overtaken);
        }
        let checksum_before = changeover::checksum_in_tx(tx, changeover::LIVE).await?;
        let checksum_of_events = changeover::checksum_in_tx(tx, changeover::SHADOW).await?;
        let (rows, parked) = changeover::count_in_tx(tx).await?;
        let differing = changeover::differing_in_tx(tx).await?;
        let mut checksum_now = checksum_before.clone();
        if !check {
            changeover::change_over_in_tx(tx).await?;
            checksum_now = changeover::checksum_in_tx(tx, changeover::LIVE).await?;
        }
        let events = self.events;
        Ok(Rebuilt { events, rows, parked, checksum_before, checksum_of_events, checksum_now, differing })
    }

    /// What was given up stays given up, and what waited behind it goes on.
    async fn pass_over_discarded(&mut self, tx: &mut Tx) -> Result<(), DbError> {
        let discarded = changeover::discarded_in_tx(tx).await?;
        if discarded.is_empty() {
            return Ok(());
        }
        changeover::discard(&self.shadow, discarded).await?;
        dead_letter::redrive(&self.shadow, &self.handler, &Which::All).await?;
        Ok(())
    }
}

/// The one place where the broker is asked inside a transaction: between the last message that is read and the
/// change of the view nobody may take one in.
async fn change_over(
    live: &Db,
    mut build: Build,
    kafka: Kafka,
    places: Places,
    check: bool,
) -> Result<Rebuilt, RebuildError> {
    let replay = Replay::open(&kafka, places).await?;
    let places = build.take_in_all(replay).await?;
    let dialect = live.dialect();
    live.write(move |tx| {
        Box::pin(async move {
            tx.hold_intake(dialect).await?;
            build.take_in_all(Replay::open(&kafka, places).await?).await?;
            build.finish_in_tx(tx, check).await
        })
    })
    .await
}
