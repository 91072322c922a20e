//! Every failpoint, and the services in which it stands.

use crate::world::Node;

/// What has to happen for a process to come past a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Clients reserve, change, cancel and pay.
    Load,
    /// A token is fetched or verified for the first time, which is soon after each start.
    Start,
    /// A question to diagnosis stays without an answer.
    Unanswered,
    /// A vet writes an opinion.
    Opinion,
    /// A record that cannot be processed.
    Poison,
    /// An operator redrives what is parked.
    Redrive,
    /// Notice sends to a webhook instead of its log.
    Webhook,
    /// A client logs in or refreshes.
    Login,
    /// An administrator replaces the signing key.
    Rotation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub node: Node,
    pub name: &'static str,
    pub when: When,
}

const DATABASE: &[&str] = &["write.before-commit", "write.after-commit"];
const RELAY: &[&str] =
    &["relay.after-lease", "relay.before-send", "relay.after-ack", "relay.before-delete", "relay.after-delete"];
const CONSUMER: &[&str] = &["consumer.before-take-in", "consumer.before-store-offset", "consumer.after-store-offset"];
const PARKING: &[&str] = &["park.before-write", "park.after-write"];
const REDRIVING: &[&str] = &["redrive.before-write", "redrive.after-write"];
const KEYS: &[&str] = &["jwks.before-call", "jwks.after-answer"];

const ANYWHERE: &[(&[Node], &[&str], When)] = &[
    (&[Node::Reservation, Node::Diagnosis, Node::Acceptance, Node::Notice, Node::Lookup], DATABASE, When::Load),
    (&[Node::Oauth], DATABASE, When::Login),
    (&Node::PUBLISHERS, RELAY, When::Load),
    (&Node::CONSUMERS, CONSUMER, When::Load),
    (&Node::CONSUMERS, PARKING, When::Poison),
    (&Node::CONSUMERS, REDRIVING, When::Redrive),
    (
        &[Node::Gateway, Node::Reservation, Node::Diagnosis, Node::Acceptance, Node::Notice, Node::Lookup],
        KEYS,
        When::Start,
    ),
];

const OWN: &[(Node, &[&str], When)] = &[
    (Node::Gateway, &["proxy.before-call", "proxy.after-answer"], When::Load),
    (Node::Reservation, &["credentials.before-call", "credentials.after-answer"], When::Start),
    (Node::Reservation, &["client.before-call", "client.after-answer"], When::Load),
    (Node::Reservation, &["reserve.after-begin", "reserve.before-settle", "reserve.after-settle"], When::Load),
    (Node::Reservation, &["change.after-begin", "change.before-settle", "change.after-settle"], When::Load),
    (Node::Reservation, &["cancel.before-write", "cancel.after-write"], When::Load),
    (
        Node::Reservation,
        &["reconcile.after-claim", "reconcile.before-settle", "reconcile.after-settle"],
        When::Unanswered,
    ),
    (Node::Diagnosis, &["accept.before-write", "accept.after-write"], When::Load),
    (Node::Diagnosis, &["visit-change.before-write", "visit-change.after-write"], When::Load),
    (Node::Diagnosis, &["treat.before-write", "treat.after-write"], When::Opinion),
    (Node::Acceptance, &["settle.before-write", "settle.after-write"], When::Load),
    (Node::Notice, &["sender.before-mark", "sender.after-mark"], When::Load),
    (Node::Notice, &["sender.after-claim", "sender.before-settle", "sender.after-settle"], When::Webhook),
    (Node::Notice, &["webhook.before-call", "webhook.after-answer"], When::Webhook),
    (Node::Oauth, &["token.before-grant", "token.after-grant"], When::Login),
    (Node::Oauth, &["keys.before-rotate", "keys.after-rotate"], When::Rotation),
];

/// All of them, service by service.
pub fn all() -> Vec<Point> {
    let anywhere =
        ANYWHERE.iter().flat_map(|(nodes, names, when)| nodes.iter().map(move |node| (*node, *names, *when)));
    let each = anywhere.chain(OWN.iter().copied());
    let mut points: Vec<Point> =
        each.flat_map(|(node, names, when)| names.iter().map(move |name| Point { node, name, when })).collect();
    points.sort_by_key(|point| (point.node, point.name));
    points
}

/// Those that begin so, by their own name or by that of their service, as in `diagnosis/write`; all where nothing is
/// asked for.
pub fn named(beginnings: &[String]) -> Vec<Point> {
    let is_meant = |point: &Point| {
        let full = format!("{}/{}", point.node, point.name);
        beginnings.iter().any(|start| point.name.starts_with(start) || full.starts_with(start))
    };
    all().into_iter().filter(|point| beginnings.is_empty() || is_meant(point)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{all, named};

    #[test]
    fn points_are_chosen_by_how_they_begin() {
        let count = |start: &str| named(&[start.to_owned()]).len();
        assert_eq!(named(&[]).len(), all().len());
        assert_eq!(count("relay.before-send"), 3);
        assert_eq!(count("diagnosis/relay.before-send"), 1);
        assert_eq!(count("nowhere"), 0);
    }

    const CALL: &str = "crash_point(\"";

    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split(CALL).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
                found.extend(names);
            }
        }
    }

    #[test]
    fn the_table_names_every_point_that_stands_in_the_sources_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = BTreeSet::new();
        let services = ["reservation", "diagnosis", "acceptance", "notice", "lookup"];
        let own = services.map(|service| format!("services/{service}"));
        let crates = ["chassis", "gateway", "oauth"].map(str::to_owned);
        for folder in crates.iter().chain(&own) {
            collect(&root.join(folder).join("src"), &mut found);
        }
        let listed: BTreeSet<String> = all().iter().map(|point| point.name.to_owned()).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn no_point_is_listed_twice_for_a_service() {
        let listed: BTreeSet<_> = all().iter().map(|point| (point.node, point.name)).collect();
        assert_eq!(listed.len(), all().len());
    }
}
