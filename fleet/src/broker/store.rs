//! The broker's file: opened by tansu, with the one index tansu does not make.

use std::net::SocketAddr;

use tansu_storage::{BrokerRegistrationRequest, Storage, StorageContainer};
use url::Url;
use uuid::Uuid;

use super::BrokerError;

/// Relative to the working folder: tansu takes an absolute path for a host name.
const FILE: &str = "kafka.db";
const NODE: i32 = 1;

pub async fn open(cluster: &str, advertised: SocketAddr) -> Result<StorageContainer, BrokerError> {
    let storage = StorageContainer::builder()
        .cluster_id(cluster)
        .node_id(NODE)
        .advertised_listener(Url::parse(&format!("tcp://{advertised}"))?)
        .storage(Url::parse(&format!("sqlite://{FILE}"))?)
        .silent(true)
        .build()
        .await?;
    index_headers().await?;
    storage
        .register_broker(BrokerRegistrationRequest {
            broker_id: NODE,
            cluster_id: cluster.to_owned(),
            incarnation_id: Uuid::new_v4(),
            rack: None,
        })
        .await?;
    Ok(storage)
}

/// tansu reads the headers of each record with a query of their own; without an index that is a scan of all
/// headers for every record fetched.
async fn index_headers() -> Result<(), BrokerError> {
    let connection = libsql::Builder::new_local(FILE).build().await?.connect()?;
    connection.execute("create index if not exists header_record on header (topition, offset_id)", ()).await?;
    Ok(())
}
