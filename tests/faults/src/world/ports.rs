//! Addresses of this world's own, below the range from which the kernel gives out ports by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpListener;

use super::WorldError;

const FIRST: u16 = 10_000;
const COUNT: u16 = 9_000;

/// An address on which nobody listens, for a process that will. Each is given out once in the life of this program.
pub fn free() -> Result<SocketAddr, WorldError> {
    Ok(listen()?.1)
}

/// A listener on such an address. It is kept from the beginning: closed, it may still be open for a moment in a
/// process that was just forked.
pub fn listen() -> Result<(TcpListener, SocketAddr), WorldError> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs that run beside each other begin their search in different places.
    let begin = u16::try_from(std::process::id() * 173 % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
        let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        return Ok((listener.map_err(|source| WorldError::io(format!("listen on {address}"), source))?, address));
    }
    Err(WorldError::failed("no port is free"))
}
