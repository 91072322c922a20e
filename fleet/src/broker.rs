//! The embedded broker: tansu's services on a SQLite file in the working folder, a process of its own.

mod group;
mod groups;
mod long_poll;
mod store;
mod tail;

use std::{io, net::SocketAddr, time::Duration};

use rama::{Context, Layer, Service};
use tansu_broker::{coordinator::group::administrator::Controller, service};
use tansu_service::{BytesFrameLayer, FrameRouteService, TcpBytesLayer, TcpContext, TcpContextLayer};
use tansu_storage::{Storage, StorageContainer};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use self::{groups::Groups, long_poll::LongPoll};

const CLUSTER: &str = "fleet";

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the storage does not answer")]
    Storage(#[from] tansu_storage::Error),
    #[error("the broker's services do not start")]
    Services(#[from] tansu_broker::Error),
    #[error("the broker's database is not usable")]
    Database(#[from] libsql::Error),
    #[error("the broker's address is no URL")]
    Address(#[from] url::ParseError),
    #[error("cannot wait for signals or connections")]
    Io(#[from] io::Error),
}

/// Serves Kafka clients on `listen` until SIGTERM or SIGINT; clients are told to come back to `advertised`.
pub async fn run(listen: SocketAddr, advertised: SocketAddr) -> Result<(), BrokerError> {
    exit_on_panic();
    let listener = TcpListener::bind(listen).await.map_err(|source| BrokerError::Listen { address: listen, source })?;
    let storage = store::open(CLUSTER, advertised).await?;
    let groups = Controller::with_storage(storage.clone())?;
    let builder = FrameRouteService::<(), tansu_broker::Error>::builder();
    let builder = service::storage::services(builder, storage.clone())?;
    let builder = service::coordinator::services(builder, groups)?;
    let routes = service::auth::services(builder)?.build().map_err(tansu_broker::Error::from)?;
    let routes = Groups::new(LongPoll::new(routes, storage.clone()));

    println!("listening on {listen}");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        result = accept(&listener, &routes) => result,
        result = watch(&storage) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn accept(listener: &TcpListener, routes: &Groups) -> Result<(), BrokerError> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, routes.connected()));
    }
}

async fn serve(stream: TcpStream, routes: Groups) {
    let connection = (
        TcpContextLayer::new(TcpContext::default().cluster_id(Some(CLUSTER.to_owned()))),
        TcpBytesLayer::<()>::default(),
        BytesFrameLayer::default(),
    )
        .into_layer(routes);
    let Err(error) = connection.serve(Context::<()>::default(), stream).await else {
        return;
    };
    if let tansu_broker::Error::Io(ref io) = error
        && matches!(
            io.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        )
    {
        return;
    }
    eprintln!("a connection was closed: {error}");
}

/// The storage lives in one task behind a channel. Should that task end, every request would fail while the
/// process looks alive: better to stop, be started again and go on from the file.
async fn watch(storage: &StorageContainer) -> Result<(), BrokerError> {
    let mut every = interval(Duration::from_secs(2));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        storage.ping().await?;
    }
}

/// A panic in one of tansu's tasks leaves half a broker; everything acknowledged is in the file.
fn exit_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(70);
    }));
}
