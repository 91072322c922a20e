//! The connections of a service: accepted up to a limit, each served in a task of its own.
//!
//! A few beyond the limit are served one request each: a probe gets its answer, everything else a refusal. More than
//! those are closed unheard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::admission::Crowded;
use super::server::Service;
use crate::config::Http;

/// hyper's buffer for a head; the edge refuses far smaller heads with a proper answer.
const HEAD_BUFFER: usize = 64 * 1024;
/// Connections beyond the limit that are told so.
const SPARE: usize = 64;
/// After an accept that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Each connection is an open file, and the limit that a shell sets is often far below what it would allow.
pub fn allow_many() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

pub struct Connections {
    service: Service,
    open: GracefulShutdown,
    places: Arc<Semaphore>,
    spare_places: Arc<Semaphore>,
    server: http1::Builder,
}

/// A place that one connection holds while it is open.
struct Place {
    _permit: OwnedSemaphorePermit,
    is_spare: bool,
}

impl Connections {
    pub fn new(http: &Http, service: Service) -> Self {
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(http.header_timeout).max_buf_size(HEAD_BUFFER);
        Self {
            service,
            open: GracefulShutdown::new(),
            places: Arc::new(Semaphore::new(http.max_connections)),
            spare_places: Arc::new(Semaphore::new(SPARE)),
            server,
        }
    }

    pub async fn accept(&self, listener: &TcpListener) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others must end before this goes on.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            match self.place() {
                Some(place) => self.serve(stream, peer, place),
                None => metrics::counter!("http_server_connections_closed_total").increment(1),
            }
        }
    }

    fn place(&self) -> Option<Place> {
        let in_order = self.places.clone().try_acquire_owned().map(|permit| Place { _permit: permit, is_spare: false });
        let spare = || self.spare_places.clone().try_acquire_owned().ok();
        in_order.ok().or_else(|| spare().map(|permit| Place { _permit: permit, is_spare: true }))
    }

    /// Requests carry the peer's address as `ConnectInfo<SocketAddr>`.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            return;
        }
        let is_spare = place.is_spare;
        let prepare = move |mut request: hyper::Request<hyper::body::Incoming>| -> Request {
            request.extensions_mut().insert(ConnectInfo(peer));
            if is_spare {
                request.extensions_mut().insert(Crowded);
            }
            request.map(axum::body::Body::new)
        };
        let service = tower::util::MapRequest::new(self.service.clone(), prepare);
        let mut server = self.server.clone();
        let connection =
            server.keep_alive(!is_spare).serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let watched = self.open.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            // Clients that go away in the middle are daily weather.
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }

    /// Lets the requests at hand end, then closes.
    pub async fn drain(self) {
        self.open.shutdown().await;
    }
}
