//! Keys that change, a key server that is away, and logins that are renewed many times at once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::Value;

use crate::checker::Invariant;
use crate::clients::Habits;
use crate::history::{Action, Outcome};
use crate::trial::Trial;
use crate::world::{Node, PUBLIC_CLIENT, WorldError};

const CLIENTS: usize = 8;
/// For so long a new key is published before it signs, which is the shortest that oauth allows; verifiers ask for
/// unknown keys no more often than each 30 s.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(60);

/// The signed-by key changes under load; tokens of the old and of the new one are both good.
pub async fn rotated(trial: &mut Trial) -> Result<(), WorldError> {
    for _ in 0..if trial.is_long { 3 } else { 1 } {
        let admin = trial.world.token("admin").await?;
        let before = signing_key(trial).await?;
        let old = trial.crowd(&Habits::usual(CLIENTS)).await?;
        let url = format!("{}/oauth/keys/rotate", trial.world.gateway());
        Client::new().post(url).bearer_auth(admin).send().await?.error_for_status()?;
        tokio::time::sleep(PUBLISHED_BEFORE + Duration::from_secs(5)).await;
        if signing_key(trial).await? == before {
            trial.proves_nothing("tokens are signed with the key of before");
        }
        trial.renew_tokens().await?;
        let new = trial.crowd(&Habits::usual(CLIENTS)).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        old.leave().await;
        new.leave().await;
        trial.judge().await?;
    }
    Ok(())
}

/// The name of the key that signs now.
async fn signing_key(trial: &Trial) -> Result<String, WorldError> {
    let login = trial.world.log_in("customer").await?;
    let token = login["access_token"].as_str().unwrap_or_default();
    let header = jsonwebtoken::decode_header(token).map_err(|error| WorldError::failed(error.to_string()))?;
    header.kid.ok_or_else(|| WorldError::failed("a token does not name its key"))
}

pub async fn server_away(trial: &mut Trial) -> Result<(), WorldError> {
    let crowd = trial.crowd(&Habits::usual(CLIENTS)).await?;
    // Whoever took part in that has the keys.
    trial.until_reserved(1).await;
    // A token that was verified before is remembered without its key; nobody has seen these.
    trial.renew_tokens().await?;
    for process in trial.world.service(Node::Oauth).to_vec() {
        process.kill_and_hold().await?;
    }
    let before = trial.history.next();
    let others = trial.crowd(&Habits::usual(CLIENTS)).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    others.leave().await;
    refused_without_need(trial, before);
    // Who starts now has no keys at all.
    trial.process(Node::Acceptance).kill();
    trial.process(Node::Gateway).kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for process in trial.world.service(Node::Oauth).to_vec() {
        process.start().await?;
    }
    trial.heal();
    tokio::time::sleep(Duration::from_secs(3)).await;
    trial.judge_after(crowd).await
}

/// Everybody still has the keys that were seen before; of several replicas one may not have been asked yet.
fn refused_without_need(trial: &mut Trial, since: usize) {
    if trial.world.plan.replicas > 1 {
        return;
    }
    for operation in trial.history.operations().split_off(since) {
        let is_honest = operation.action != Action::Intrude;
        if is_honest && matches!(&operation.outcome, Outcome::Refused { kind, .. } if kind == "keys-unavailable") {
            let what = format!("request {} was refused for want of keys that were there", operation.number);
            trial.violated(Invariant::I10, what);
        }
    }
}

pub async fn parallel_refreshes(trial: &mut Trial) -> Result<(), WorldError> {
    const REFRESHES: usize = 100;
    for _ in 0..if trial.is_long { 10 } else { 2 } {
        let login = trial.world.log_in("customer").await?;
        let refresh = login["refresh_token"].as_str().unwrap_or_default().to_owned();
        let answers = join_all((0..REFRESHES).map(|_| exchange(trial, &refresh))).await;
        let answers: Vec<(u16, Value)> = answers.into_iter().collect::<Result<_, _>>()?;
        let refused = answers.iter().filter(|(status, _)| *status != 200).count();
        if refused > 0 {
            trial.violated(Invariant::I10, format!("{refused} of {REFRESHES} refreshes at once were refused"));
        }
        let successors: BTreeSet<&str> =
            answers.iter().filter_map(|(_, answer)| answer["refresh_token"].as_str()).collect();
        if successors.len() != 1 {
            trial.violated(Invariant::I10, format!("one refresh token has {} successors", successors.len()));
        }
        for successor in successors {
            let (status, _) = exchange(trial, successor).await?;
            if status != 200 {
                trial.violated(Invariant::I10, format!("the successor of a refresh token was answered {status}"));
            }
        }
    }
    trial.load(CLIENTS, Duration::from_secs(1)).await?;
    trial.judge().await
}

async fn exchange(trial: &Trial, refresh: &str) -> Result<(u16, Value), WorldError> {
    let form = [("grant_type", "refresh_token"), ("client_id", PUBLIC_CLIENT), ("refresh_token", refresh)];
    let url = format!("{}/oauth/token", trial.world.gateway());
    let answer = Client::new().post(url).form(&form).send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await?))
}
