//! The world that the campaign plays in: the real binaries, their broker and databases, and a fault proxy on every
//! link between them.

mod broker;
mod clock;
mod command;
mod disk;
mod error;
mod fault;
mod kafka_entry;
mod link;
mod node;
mod people;
mod plan;
mod ports;
mod postgres;
mod process;
mod pump;
mod quiet;
mod services;
mod signer;
mod topic;
mod webhook;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tokio::sync::Mutex;

pub use disk::Disk;
pub use error::WorldError;
pub use fault::Fault;
pub use link::Link;
pub use node::Node;
pub use people::PUBLIC_CLIENT;
pub use plan::{Kafka, Plan, Storage};
pub use process::{Cause, Death, Process};
pub use quiet::{RECOVERY_PATIENCE, Rest};
pub use topic::{Record, TOPIC};
pub use webhook::Webhook;

use clock::Clock;
use link::{Endpoints, Links};
use people::People;

pub struct World {
    pub plan: Plan,
    links: Links,
    services: BTreeMap<Node, Vec<Process>>,
    broker: Process,
    database_server: Option<Process>,
    advertised: SocketAddr,
    people: People,
    clock: Option<Clock>,
    disk: Option<Disk>,
    webhook: Webhook,
    pools: Mutex<BTreeMap<Node, AnyPool>>,
    http: reqwest::Client,
}

impl World {
    /// Starts everything; over when all of it is ready.
    pub async fn start(plan: Plan) -> Result<Self, WorldError> {
        if plan.replicas > 1 && plan.storage == Storage::Sqlite {
            return Err(WorldError::failed("a SQLite file has one process: replicas need PostgreSQL"));
        }
        sqlx::any::install_default_drivers();
        let folder = Folder::make(&plan)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let people = People::make(&plan.binaries.join("oauth"), &plan.folder).await?;
        let clock = if plan.has_clock { Some(Clock::new(&plan.folder)?) } else { None };
        let disk = match plan.small_disk {
            Some((node, megabytes)) => Some(Disk::mount(&folder.of(node), megabytes)?),
            None => None,
        };
        let webhook = Webhook::listen()?;

        let (entry, advertised) = ports::listen()?;
        let broker_ready = Endpoints::default();
        let broker =
            broker::blueprint(&plan, &folder.of(Node::Kafka), ports::free()?, advertised, folder.log(Node::Kafka, 0));
        let broker = Process::start_supervised(broker, &broker_ready, &http);
        let server_ready = Endpoints::default();
        let database_server = match plan.storage {
            Storage::Sqlite => None,
            Storage::Postgres => {
                let log = folder.log(Node::Postgres, 0);
                let server = postgres::prepare(&folder.of(Node::Postgres), ports::free()?, log).await?;
                Some(Process::start_supervised(server, &server_ready, &http))
            }
        };

        let mut links = Links::default();
        kafka_entry::open(&mut links, entry, advertised, &broker_ready, plan.seed);
        let ready = services::connect(&mut links, &plan, &server_ready, &webhook)?;
        broker.until_ready().await?;
        if let Some(server) = &database_server {
            server.until_ready().await?;
            postgres::until_it_answers(server.address()).await?;
        }
        let surroundings = services::Surroundings {
            plan: &plan,
            folder: &folder,
            links: &links,
            people: &people,
            clock: &clock,
            advertised,
        };
        let mut started = BTreeMap::new();
        for node in Node::SERVICES {
            let replicas = (0..plan.replicas).map(|replica| {
                let blueprint = surroundings.blueprint(node, replica)?;
                Ok(Process::start_supervised(blueprint, &ready[&node], &http))
            });
            started.insert(node, replicas.collect::<Result<Vec<_>, WorldError>>()?);
        }
        let world = Self {
            plan,
            links,
            services: started,
            broker,
            database_server,
            advertised,
            people,
            clock,
            disk,
            webhook,
            pools: Mutex::default(),
            http,
        };
        for process in world.services.values().flatten() {
            process.until_ready().await?;
        }
        Ok(world)
    }

    /// Where clients find the fleet.
    pub fn gateway(&self) -> String {
        self.links.get(Node::Client, Node::Gateway).map(|link| link.url()).unwrap_or_default()
    }

    /// All replicas of a service; none of what is no service.
    pub fn service(&self, node: Node) -> &[Process] {
        self.services.get(&node).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn broker(&self) -> &Process {
        &self.broker
    }

    pub fn database_server(&self) -> Option<&Process> {
        self.database_server.as_ref()
    }

    /// Services, broker and database server.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.services.values().flatten().chain([&self.broker]).chain(&self.database_server)
    }

    /// The link between two nodes; an error where there is none.
    pub fn link(&self, from: Node, to: Node) -> Result<&Arc<Link>, WorldError> {
        self.links.get(from, to).ok_or_else(|| WorldError::failed(format!("there is no link from {from} to {to}")))
    }

    pub fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.all()
    }

    pub fn heal_all(&self) {
        self.links.all().for_each(|link| link.heal());
    }

    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Moves the services' clock, seconds from the true time. Only where the plan has one.
    pub fn set_clock(&self, seconds: i64) -> Result<(), WorldError> {
        let clock = self.clock.as_ref().ok_or_else(|| WorldError::failed("this world was planned without a clock"))?;
        clock.set(seconds)
    }

    /// The small disk, where the plan has one.
    pub fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    fn brokers(&self) -> String {
        self.advertised.to_string()
    }

    /// A service's own database, to look into.
    pub async fn database(&self, node: Node) -> Result<AnyPool, WorldError> {
        let mut pools = self.pools.lock().await;
        if let Some(pool) = pools.get(&node) {
            return Ok(pool.clone());
        }
        let url = match &self.database_server {
            Some(server) => format!("{}?application_name=checker", postgres::url(server.address(), node)),
            None => format!("sqlite://{}?mode=ro", services::database_file(&self.plan.folder, node).display()),
        };
        let pool = AnyPoolOptions::new().max_connections(2).connect(&url).await?;
        pools.insert(node, pool.clone());
        Ok(pool)
    }

    /// Ends everything, at once. What is in the folder stays.
    pub async fn end(self) -> Result<(), WorldError> {
        for pool in self.pools.into_inner().into_values() {
            pool.close().await;
        }
        for process in self.services.values().flatten().chain([&self.broker]).chain(&self.database_server) {
            process.kill_and_hold().await?;
        }
        Ok(())
    }
}

/// The folder of this world: one for the data of each process, one for all logs.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make(plan: &Plan) -> Result<Self, WorldError> {
        let folder = Self { path: plan.folder.clone() };
        let data = Node::SERVICES.into_iter().chain([Node::Kafka]).map(|node| folder.of(node));
        for path in data.chain([folder.path.join("logs")]) {
            std::fs::create_dir_all(&path)
                .map_err(|source| WorldError::io(format!("make {}", path.display()), source))?;
        }
        Ok(folder)
    }

    fn of(&self, node: Node) -> PathBuf {
        of(&self.path, node)
    }

    fn log(&self, node: Node, replica: usize) -> PathBuf {
        self.path.join("logs").join(format!("{}.log", process::name(node, replica)))
    }
}

fn of(folder: &Path, node: Node) -> PathBuf {
    folder.join(node.name())
}
