//! Whether an address can be reached from where this runs.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Refused traffic is dropped, so silence means no.
const PATIENCE: Duration = Duration::from_secs(3);

/// A network plugin hears of a new pod a moment after it began: `after` is for such a one.
pub async fn try_all(addresses: &[String], after: Duration) {
    sleep(after).await;
    let tries = addresses.iter().map(|address| async move {
        let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
        (address, matches!(connected, Ok(Ok(_))))
    });
    for (address, is_open) in join_all(tries).await {
        println!("{address} {}", if is_open { "open" } else { "closed" });
    }
}
