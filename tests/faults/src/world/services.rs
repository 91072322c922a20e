//! The services: which links they have, and what each is told in its environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::clock::Clock;
use super::link::{Endpoints, Link, Links, listen};
use super::people::People;
use super::process::{Blueprint, Probe};
use super::{Folder, Node, Plan, Storage, Webhook, WorldError, of, ports, postgres};

/// Written into every token; nobody has to reach it, so no fault on a link can change it.
const ISSUER: &str = "http://oauth.fleet";

/// Who calls whom by HTTP.
const CALLS: [(Node, Node); 13] = [
    (Node::Client, Node::Gateway),
    (Node::Gateway, Node::Reservation),
    (Node::Gateway, Node::Diagnosis),
    (Node::Gateway, Node::Acceptance),
    (Node::Gateway, Node::Notice),
    (Node::Gateway, Node::Lookup),
    (Node::Gateway, Node::Oauth),
    (Node::Reservation, Node::Diagnosis),
    (Node::Reservation, Node::Oauth),
    (Node::Diagnosis, Node::Oauth),
    (Node::Acceptance, Node::Oauth),
    (Node::Notice, Node::Oauth),
    (Node::Lookup, Node::Oauth),
];

/// Puts a proxy on every link between services; gives the list, for each, of those that are ready.
pub fn connect(
    links: &mut Links,
    plan: &Plan,
    database_server: &Endpoints,
    webhook: &Webhook,
) -> Result<BTreeMap<Node, Endpoints>, WorldError> {
    let ready: BTreeMap<Node, Endpoints> = Node::SERVICES.map(|node| (node, Endpoints::default())).into();
    let mut add = |from: Node, to: Node, endpoints: &Endpoints| -> Result<(), WorldError> {
        let link = links.add(Link::new(from, to, ports::free()?, endpoints, plan.seed));
        tokio::spawn(listen(link));
        Ok(())
    };
    for (from, to) in CALLS {
        add(from, to, &ready[&to])?;
    }
    add(Node::Notice, Node::Webhook, &Endpoints::fixed(webhook.address))?;
    if plan.storage == Storage::Postgres {
        for node in Node::WITH_DATABASE {
            add(node, Node::Postgres, database_server)?;
        }
    }
    Ok(ready)
}

pub fn database_file(folder: &Path, node: Node) -> PathBuf {
    of(folder, node).join(format!("{node}.db"))
}

/// What a service is told about.
pub struct Surroundings<'a> {
    pub plan: &'a Plan,
    pub folder: &'a Folder,
    pub links: &'a Links,
    pub people: &'a People,
    pub clock: &'a Option<Clock>,
    pub advertised: SocketAddr,
}

impl Surroundings<'_> {
    pub fn blueprint(&self, node: Node, replica: usize) -> Result<Blueprint, WorldError> {
        let address = ports::free()?;
        Ok(Blueprint {
            node,
            replica,
            address,
            program: self.plan.first_binaries().join(node.name()),
            arguments: Vec::new(),
            environment: self.environment(node, address)?,
            working_folder: self.folder.of(node),
            log: self.folder.log(node, replica),
            stop_signal: Signal::SIGTERM,
            probe: Probe::Readiness,
        })
    }

    fn environment(&self, node: Node, address: SocketAddr) -> Result<BTreeMap<String, String>, WorldError> {
        let mut environment = self.clock.as_ref().map(Clock::environment).unwrap_or_default();
        let mut set = |key: &str, value: String| drop(environment.insert(key.to_owned(), value));
        set("HTTP_HOST", address.ip().to_string());
        set("HTTP_PORT", address.port().to_string());
        // Until the links have seen that it is going.
        set("HTTP_LAME_DUCK", "1s".to_owned());
        set("LOG_FORMAT", "text".to_owned());
        set("MALLOC_ARENA_MAX", "2".to_owned());
        set("AUTH_ISSUER", ISSUER.to_owned());
        set("AUTH_JWKS_URL", format!("{}/.well-known/jwks.json", self.to_oauth(node)?));
        set("KAFKA_BROKERS", self.advertised.to_string());
        if Node::WITH_DATABASE.contains(&node) {
            set("DATABASE_URL", self.database(node)?);
        }
        match node {
            Node::Gateway => {
                for to in Node::SERVICES.into_iter().filter(|to| *to != Node::Gateway) {
                    set(&format!("UPSTREAMS_{}", to.name().to_uppercase()), self.url(node, to)?);
                }
            }
            Node::Reservation => {
                set("DIAGNOSIS_URL", self.url(node, Node::Diagnosis)?);
                set("CREDENTIALS_TOKEN_URL", format!("{}/oauth/token", self.url(node, Node::Oauth)?));
                set("CREDENTIALS_CLIENT_ID", "reservation".to_owned());
                set("CREDENTIALS_CLIENT_SECRET", self.people.service_secret().to_owned());
            }
            Node::Oauth => {
                set("ISSUER_URL", ISSUER.to_owned());
                set("GRANTS_PASSWORD", "true".to_owned());
                set("USERS_FILE", self.people.file.display().to_string());
            }
            Node::Notice => {
                set("CHANNEL_KIND", "webhook".to_owned());
                set("CHANNEL_URL", self.url(node, Node::Webhook)?);
                set("CHANNEL_SECRET", "of the campaign".to_owned());
            }
            _ => {}
        }
        environment.extend(self.plan.settings.get(&node).cloned().unwrap_or_default());
        Ok(environment)
    }

    fn to_oauth(&self, node: Node) -> Result<String, WorldError> {
        // It knows its own keys; the address is asked for all the same.
        if node == Node::Oauth { Ok(ISSUER.to_owned()) } else { self.url(node, Node::Oauth) }
    }

    fn url(&self, from: Node, to: Node) -> Result<String, WorldError> {
        self.links
            .get(from, to)
            .map(|link| link.url())
            .ok_or_else(|| WorldError::failed(format!("there is no link from {from} to {to}")))
    }

    fn database(&self, node: Node) -> Result<String, WorldError> {
        if self.plan.storage == Storage::Sqlite {
            return Ok(format!("sqlite:{}", database_file(&self.plan.folder, node).display()));
        }
        let link = self.links.get(node, Node::Postgres);
        let link = link.ok_or_else(|| WorldError::failed(format!("{node} has no link to its database")))?;
        Ok(postgres::url(link.address, node))
    }
}
