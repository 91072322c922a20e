//! The one address that a broker advertises: which service a connection belongs to is in its first request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Node;
use super::link::{Endpoints, Link, Links};
use super::pump::reset;

/// Size, api key, api version, correlation id and the length of the client's id.
const HEAD: usize = 14;
const LONGEST_ID: usize = 64;

/// A way to the broker for each of those that use it; all are reached at `address`, where `listener` listens.
pub fn open(links: &mut Links, listener: TcpListener, address: SocketAddr, broker: &Endpoints, seed: u64) {
    let users = [Node::Client].into_iter().chain(Node::SERVICES.into_iter().filter(|node| node.uses_kafka()));
    let ways: Vec<Arc<Link>> =
        users.map(|user| links.add(Link::new(user, Node::Kafka, address, broker, seed))).collect();
    let ways: Arc<[Arc<Link>]> = ways.into();
    tokio::spawn(listen(listener, ways));
}

async fn listen(listener: TcpListener, ways: Arc<[Arc<Link>]>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        let ways = ways.clone();
        tokio::spawn(async move {
            let id = client_id(&near).await.unwrap_or_default();
            match ways.iter().find(|way| way.from.name() == id) {
                Some(way) => way.serve(near).await,
                None => reset(&near),
            }
        });
    }
}

/// Looks without taking: the request is passed on as it came.
async fn client_id(stream: &TcpStream) -> io::Result<String> {
    let mut seen = [0; HEAD + LONGEST_ID];
    loop {
        stream.readable().await?;
        let length = stream.peek(&mut seen).await?;
        if let Some(id) = parse(&seen[..length]) {
            return Ok(id);
        }
        if length == 0 || length == seen.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // What is there stays readable, so that waiting for more has to be patient by itself.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn parse(seen: &[u8]) -> Option<String> {
    let length = i16::from_be_bytes(seen.get(HEAD - 2..HEAD)?.try_into().ok()?);
    let end = HEAD + usize::try_from(length).ok()?;
    Some(String::from_utf8_lossy(seen.get(HEAD..end)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_client_of_a_connection_is_known_by_its_first_request() {
        let request = b"\x00\x00\x00\x20\x00\x12\x00\x03\x00\x00\x00\x01\x00\x06lookup\x00\x07rdkafka";
        assert_eq!(parse(request).as_deref(), Some("lookup"));
        assert_eq!(parse(&request[..17]), None);
        assert_eq!(parse(&request[..9]), None);
    }
}
