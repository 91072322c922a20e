//! The broker's file: opened by tansu, with the one index tansu does not make.

use std::net::SocketAddr;

use tansu_storage::{BrokerRegistrationRequest, GroupDetail, Storage, StorageContainer, UpdateError};
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
    doubt_members(&storage).await?;
    Ok(storage)
}

/// Consumers of the time before have died with the broker, or will show themselves: whoever is not heard of before
/// the next one joins counts as gone. Otherwise new ones would wait until the old sessions run out.
async fn doubt_members(storage: &StorageContainer) -> Result<(), BrokerError> {
    for group in storage.list_groups(None).await? {
        let nobody = GroupDetail::default();
        // Without the right version the storage refuses, and tells what there is.
        let Err(UpdateError::Outdated { current, version }) = storage.update_group(&group.group_id, nobody, None).await
        else {
            continue;
        };
        let mut group_now = *current;
        for member in group_now.members.values_mut() {
            member.last_contact = None;
        }
        storage.update_group(&group.group_id, group_now, Some(version)).await.map_err(BrokerError::Group)?;
    }
    Ok(())
}

/// tansu reads the headers of each record with a query of their own; without an index that is a scan of all
/// headers for every record fetched.
async fn index_headers() -> Result<(), BrokerError> {
    let connection = libsql::Builder::new_local(FILE).build().await?.connect()?;
    connection.execute("create index if not exists header_record on header (topition, offset_id)", ()).await?;
    Ok(())
}
