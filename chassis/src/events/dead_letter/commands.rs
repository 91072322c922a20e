//! What an operator does with parked messages at a command line, beside the running service.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{DeadLetter, Which, discard, find, list, redrive};
use crate::Db;
use crate::events::consumer::Handler;
use crate::events::message::Message;
use crate::run::{StartError, print};

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show what is parked, oldest first; exit code 1 if nothing is
    List {
        /// Only messages of this key
        #[arg(long)]
        key: Option<String>,
        /// The last id of the page before
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: i64,
        /// As many at most
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: i64,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Show one with its headers and its content, which may be personal
    Show {
        id: i64,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Process again: all, one key, or one message and those of its key before it; exit code 1 if any stays parked
    Redrive {
        #[command(flatten)]
        which: Chosen,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Give one up; the reason is kept
    Discard {
        id: i64,
        /// Why it need not be processed
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub struct Chosen {
    id: Option<i64>,
    /// All messages of this key
    #[arg(long)]
    key: Option<String>,
}

impl Command {
    pub async fn execute(self, db: &Db, handler: &Handler) -> Result<ExitCode, StartError> {
        match self {
            Self::List { key, after, limit, json } => {
                let letters = list(db, key.as_deref(), after, limit).await?;
                print(json, &letters, || lines(&letters))?;
                Ok(found(!letters.is_empty()))
            }
            Self::Show { id, json } => {
                let Some((letter, message)) = find(db, id).await? else { return unknown(id) };
                let shown = Shown::new(letter, message);
                print(json, &shown, || shown.text())?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Redrive { which: Chosen { id, key }, json } => {
                let which = match (id, key) {
                    (Some(id), _) => match find(db, id).await? {
                        Some((letter, _)) => Which::UpTo(letter),
                        None => return unknown(id),
                    },
                    (None, Some(key)) => Which::Key(key),
                    (None, None) => Which::All,
                };
                let outcome = redrive(db, handler, &which).await?;
                print(json, &outcome, || {
                    format!("{} processed, {} still parked", outcome.processed, outcome.still_parked)
                })?;
                Ok(found(outcome.still_parked == 0))
            }
            Self::Discard { id, reason, json } => {
                if !discard(db, id, &reason).await? {
                    return unknown(id);
                }
                print(json, &Discarded { id, reason: &reason }, || format!("{id} is discarded: {reason}"))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// 0 where there was what was asked for, 1 otherwise.
fn found(is_there: bool) -> ExitCode {
    if is_there { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn unknown(id: i64) -> Result<ExitCode, StartError> {
    eprintln!("no message {id} is parked here");
    Ok(ExitCode::FAILURE)
}

fn lines(letters: &[DeadLetter]) -> String {
    if letters.is_empty() {
        return "nothing is parked".to_owned();
    }
    letters.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(letter: &DeadLetter) -> String {
    let DeadLetter { id, topic, partition, offset, key, reason, attempts, parked_at } = letter;
    let at = Timestamp::from_millisecond(*parked_at).unwrap_or_default();
    format!("{id}  key {key}  {topic}/{partition}/{offset}  parked {at:.0}  attempts {attempts}  {reason}")
}

#[derive(Serialize)]
struct Discarded<'a> {
    id: i64,
    reason: &'a str,
}

/// A parked message with its content: as text where it is text, as base64 where not.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    letter: DeadLetter,
    headers: Vec<(String, String)>,
    encoding: &'static str,
    payload: String,
}

impl Shown {
    fn new(letter: DeadLetter, message: Message) -> Self {
        let (encoding, payload) = match String::from_utf8(message.payload) {
            Ok(text) => ("text", text),
            Err(error) => ("base64", STANDARD.encode(error.as_bytes())),
        };
        Self { letter, headers: message.headers, encoding, payload }
    }

    fn text(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!("{}\n{}{}:\n{}", line(&self.letter), headers.collect::<String>(), self.encoding, self.payload)
    }
}
