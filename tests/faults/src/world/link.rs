//! A link between two nodes: a proxy of its own, passing connections on to those of the other side that are ready,
//! as a Kubernetes Service does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Node;
use super::fault::{Fate, Fault};
use super::pump::{pass_on, reset};

/// For an address that somebody else has just let go of.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// The replicas of a node that are ready.
#[derive(Clone)]
pub struct Endpoints(watch::Sender<Vec<SocketAddr>>);

impl Default for Endpoints {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Endpoints {
    /// One that does not come and go with a process.
    pub fn fixed(address: SocketAddr) -> Self {
        Self(watch::Sender::new(vec![address]))
    }

    pub fn set(&self, address: SocketAddr, is_ready: bool) {
        self.0.send_if_modified(|ready| {
            let known = ready.iter().position(|known| *known == address);
            match (known, is_ready) {
                (None, true) => ready.push(address),
                (Some(index), false) => drop(ready.remove(index)),
                _ => return false,
            }
            true
        });
    }

    fn is_any(&self) -> bool {
        !self.0.borrow().is_empty()
    }
}

pub struct Link {
    pub from: Node,
    pub to: Node,
    /// Where `from` connects to in order to reach `to`.
    pub address: SocketAddr,
    endpoints: Endpoints,
    fault: watch::Sender<Fault>,
    silenced: watch::Sender<()>,
    random: Mutex<StdRng>,
    turn: AtomicUsize,
    connections: AtomicU64,
}

impl Link {
    pub fn new(from: Node, to: Node, address: SocketAddr, endpoints: &Endpoints, seed: u64) -> Self {
        // Each link draws for itself, so that traffic on one does not change what happens on another.
        let own = seed ^ ((from as u64) << 8 | to as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self {
            from,
            to,
            address,
            endpoints: endpoints.clone(),
            fault: watch::Sender::new(Fault::None),
            silenced: watch::Sender::new(()),
            random: Mutex::new(StdRng::seed_from_u64(own)),
            turn: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
        }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    pub fn heal(&self) {
        self.set(Fault::None);
    }

    /// The other side of every connection that there is has gone without a word, as with its machine: whoever made one
    /// never hears of it again. New ones are served.
    pub fn silence(&self) {
        self.silenced.send_replace(());
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made over it so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn watch(&self) -> watch::Receiver<Fault> {
        self.fault.subscribe()
    }

    pub(super) fn silenced(&self) -> watch::Receiver<()> {
        self.silenced.subscribe()
    }

    pub(super) fn fate(&self, fault: Fault) -> Fate {
        fault.fate(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn delay(&self, fault: Fault) -> Duration {
        fault.delay(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Passes a connection on to one of the replicas that are ready, each in turn.
    pub async fn serve(&self, near: TcpStream) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let ready = self.endpoints.0.borrow().clone();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..ready.len() {
            let replica = ready[(first + step) % ready.len()];
            if let Ok(far) = TcpStream::connect(replica).await {
                return pass_on(self, near, far).await;
            }
        }
        reset(&near);
    }
}

/// Listens while somebody is ready at the other side; otherwise connections are refused, as they would be there.
pub async fn listen(link: Arc<Link>) {
    let (mut fault, mut ready) = (link.watch(), link.endpoints.0.subscribe());
    let is_open = || *link.fault.borrow() != Fault::Down && link.endpoints.is_any();
    loop {
        while !is_open() {
            tokio::select! { _ = fault.changed() => {} _ = ready.changed() => {} }
        }
        let Ok(listener) = TcpListener::bind(link.address).await else {
            tokio::time::sleep(BIND_PAUSE).await;
            continue;
        };
        while is_open() {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((near, _)) = accepted else { continue };
                    let link = link.clone();
                    tokio::spawn(async move { link.serve(near).await });
                }
                _ = fault.changed() => {}
                _ = ready.changed() => {}
            }
        }
    }
}

/// All links, by their two ends.
#[derive(Default)]
pub struct Links(BTreeMap<(Node, Node), Arc<Link>>);

impl Links {
    pub fn add(&mut self, link: Link) -> Arc<Link> {
        let link = Arc::new(link);
        self.0.insert((link.from, link.to), link.clone());
        link
    }

    pub fn get(&self, from: Node, to: Node) -> Option<&Arc<Link>> {
        self.0.get(&(from, to))
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.0.values()
    }
}
