//! The cases: what is done to the fleet while it works.

mod brokers;
mod databases;
mod errands;
mod kills;
mod late;
mod links;
mod messages;
mod people;
mod replicas;
mod tokens;
mod versions;

use std::pin::Pin;

use crate::trial::Trial;
use crate::world::{Node, Plan, Storage, WorldError};

type Running<'t> = Pin<Box<dyn Future<Output = Result<(), WorldError>> + 't>>;

pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub needs: Needs,
    /// Whether it is part of the short campaign.
    pub is_short: bool,
    /// How its world differs from others.
    pub plan: fn(&mut Plan),
    pub run: for<'t> fn(&'t mut Trial) -> Running<'t>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Anything,
    Sqlite,
    Postgres,
    /// So many of every service, which only PostgreSQL allows.
    Replicas(usize),
    /// The programs of an older version, and two replicas of every service.
    OlderVersion,
}

impl Case {
    /// Why it cannot be run with this storage, or without an older version.
    pub fn obstacle(&self, storage: Storage, has_older: bool) -> Option<&'static str> {
        match (self.needs, storage) {
            (Needs::Sqlite, Storage::Postgres) => Some("is about SQLite"),
            (Needs::Postgres, Storage::Sqlite) => Some("needs PostgreSQL"),
            (Needs::Replicas(_) | Needs::OlderVersion, Storage::Sqlite) => Some("needs replicas, and so PostgreSQL"),
            (Needs::OlderVersion, Storage::Postgres) if !has_older => Some("needs an older version: --older COMMIT"),
            _ => None,
        }
    }
}

const AS_IT_IS: fn(&mut Plan) = |_| {};

macro_rules! cases {
    ($($name:literal $short:ident $needs:expr, $plan:expr, $run:path: $about:literal;)*) => {
        &[$(Case {
            name: $name,
            about: $about,
            needs: $needs,
            is_short: cases!(@is_short $short),
            plan: $plan,
            run: |trial| Box::pin($run(trial)),
        }),*]
    };
    (@is_short short) => { true };
    (@is_short long) => { false };
}

use Needs::{Anything, OlderVersion, Postgres, Replicas, Sqlite};

pub const CASES: &[Case] = cases! {
    "kill-at-failpoints" short Anything, log_channel, kills::at_failpoints:
        "every service is killed before and after each commit, send, mark, call and offset store, in turn";
    "kill-at-random" short Anything, AS_IT_IS, kills::at_random:
        "services are killed at any moment, under load";
    "all-killed" long Anything, AS_IT_IS, kills::all_at_once:
        "every process ends at once, the broker and the database server too";
    "rolling-restart" long Anything, AS_IT_IS, kills::rolling_restart:
        "every service is restarted in order, under load: no request may fail where there are replicas";
    "versions-side-by-side" long OlderVersion, older_first, versions::side_by_side:
        "an older version and this one work on the same databases, roll forward and back under load: no request may fail";
    "reset-before-request" long Anything, AS_IT_IS, links::reset_before:
        "each link in turn resets connections before a request is passed on";
    "reset-after-request" short Anything, AS_IT_IS, links::reset_after:
        "each link in turn passes requests on and loses their answers";
    "half-close" long Anything, AS_IT_IS, links::half_close:
        "each link in turn ends the stream behind a request";
    "slow-links" long Anything, AS_IT_IS, links::slow:
        "every link is late by 20 to 60 ms, then each in turn is slow";
    "blackhole" long Anything, AS_IT_IS, links::blackhole:
        "nothing gets through between reservation and diagnosis";
    "one-way-loss" short Anything, AS_IT_IS, links::one_way_loss:
        "requests reach diagnosis and answers do not come back, then the other way round";
    "silent-peers" long Anything, AS_IT_IS, links::silent:
        "the other side of each link's connections goes without a word, and comes back as another";
    "late-requests" short Anything, AS_IT_IS, late::requests:
        "requests arrive at diagnosis after their reservation was cancelled";
    "slow-diagnosis" long Anything, simulated_treatment, links::slow_diagnosis:
        "accepting a visit takes 400 to 620 ms";
    "sick-diagnosis" long Anything, AS_IT_IS, links::sick_diagnosis:
        "accepting a visit takes 5 s, then diagnosis is dead, then well";
    "slow-senders" long Anything, AS_IT_IS, links::slow_senders:
        "connections send half a header or one byte at a time while others work";
    "broker-away" short Anything, AS_IT_IS, brokers::away:
        "the broker cannot be reached for 5 s, in a long run for 5 minutes: reservations go on without an error";
    "broker-killed" long Anything, AS_IT_IS, brokers::killed:
        "the broker is killed again and again under load";
    "topic-replayed" short Anything, AS_IT_IS, messages::replayed:
        "the whole topic is published again, in order and shuffled, and read again from its beginning";
    "poison" short Anything, AS_IT_IS, messages::poison:
        "bad UTF-8, a wrong schema, 2 MB of nothing and an unknown type are published among the others";
    "redrive" short Anything, AS_IT_IS, messages::redrive:
        "a database refuses some messages; they are parked, and redriven in order once it does not";
    "database-away" short Postgres, AS_IT_IS, databases::away:
        "the database server is stopped and started under load, then killed";
    "silent-database" short Postgres, AS_IT_IS, links::silent_database:
        "the database server goes without a word from under every connection, again and again, and comes back as another";
    "connections-terminated" long Postgres, AS_IT_IS, databases::terminated:
        "the server ends the connections of each service in turn";
    "long-transaction" short Postgres, AS_IT_IS, databases::long_transaction:
        "a transaction with an early outbox id stays open for 10 s while others publish";
    "disk-full" short Sqlite, small_disk, databases::disk_full:
        "the disk under reservation is full, then free again";
    "clock-jumps" long Anything, clock, databases::clock_jumps:
        "the clock goes an hour forwards and two hours back, under load";
    "relay-paused" long Anything, AS_IT_IS, replicas::relay_paused:
        "publishers are stopped for longer than a lease lasts, and go on";
    "consumer-paused" long Anything, AS_IT_IS, replicas::consumer_paused:
        "consumers are stopped for longer than their group waits, and go on";
    "leader-killed" long Replicas(2), AS_IT_IS, replicas::leader_killed:
        "the replica whose relay leads is killed, again and again";
    "consumers-scaled" long Replicas(3), AS_IT_IS, replicas::scaled:
        "consumers are scaled from three to one, to three, to one and back, under load";
    "cancel-races" short Anything, slow_treatment, people::cancel_races:
        "reservations are cancelled while they are being confirmed, and right after";
    "clients-leave" long Anything, AS_IT_IS, people::leave:
        "clients are gone at any moment of a request";
    "overload" long Anything, AS_IT_IS, people::overload:
        "ten times the usual clients, without a pause";
    "keys-rotated" long Anything, short_notice, tokens::rotated:
        "signing keys are rotated under load: no good token is refused";
    "key-server-away" short Anything, AS_IT_IS, tokens::server_away:
        "the key server is dead, and services start meanwhile: no good token is refused";
    "parallel-refreshes" long Anything, AS_IT_IS, tokens::parallel_refreshes:
        "a hundred refreshes with one token at the same time";
};

/// Notice passes the points of its other channel as well; each kill says which of the two it wants.
fn log_channel(plan: &mut Plan) {
    plan.set(Node::Notice, "CHANNEL_KIND", "log");
}

fn simulated_treatment(plan: &mut Plan) {
    plan.set(Node::Diagnosis, "TREATMENT_SIMULATED_TIME", "400ms..620ms");
}

/// Long enough that somebody else gets between the question and its answer.
fn slow_treatment(plan: &mut Plan) {
    plan.set(Node::Diagnosis, "TREATMENT_SIMULATED_TIME", "20ms..120ms");
}

fn short_notice(plan: &mut Plan) {
    let seconds = tokens::PUBLISHED_BEFORE.as_secs();
    plan.set(Node::Oauth, "KEYS_PUBLISH_BEFORE", &format!("{seconds}s"));
}

fn older_first(plan: &mut Plan) {
    plan.starts_older = true;
}

fn small_disk(plan: &mut Plan) {
    plan.small_disk = Some((Node::Reservation, 48));
}

fn clock(plan: &mut Plan) {
    plan.has_clock = true;
}
