//! Which headers go through, which end here, and which are the gateway's own word.

use std::net::IpAddr;

use axum::http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use axum::http::{HeaderMap, HeaderValue, Uri};

pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Other ways to say where a request comes from; what arrives of these is nobody's word.
const HEARSAY: [HeaderName; 5] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
];

/// Whether the client can do with fields after the body. `TE` is for this connection alone, so what it says is said
/// anew on the next one.
pub fn takes_trailers(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok()).flat_map(|te| te.split(','));
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

pub fn take_trailers(headers: &mut HeaderMap) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONNECTION, HeaderValue::from_static("te"));
}

/// Removes what is meant for this connection alone (RFC 9110, 7.6.1): `Connection`, all that it names, and those
/// that are so by themselves.
pub fn end_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE]
    {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Where a request comes from, as far as that can be believed.
pub struct Arrival {
    pub peer: IpAddr,
    pub trust_forwarded: bool,
}

impl Arrival {
    /// The client's address: the peer's, or the one that a trusted proxy in front says it serves.
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        if !self.trust_forwarded {
            return self.peer;
        }
        // Each proxy adds at the end, so the last address is the one our own proxy saw.
        let last = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|value| value.to_str().ok());
        last.and_then(|list| list.rsplit(',').next()?.trim().parse().ok()).unwrap_or(self.peer)
    }

    /// Tells the service where the request comes from, and calls it by its own name.
    pub fn introduce(&self, headers: &mut HeaderMap, uri: &Uri, upstream_host: &HeaderValue) {
        for name in HEARSAY {
            headers.remove(name);
        }
        // The gateway itself says "100 Continue" once the service wants the body.
        headers.remove(EXPECT);
        headers.append(VIA, HeaderValue::from_static("1.1 gateway"));

        let asked_host = asked_host(headers, uri);
        headers.insert(HOST, upstream_host.clone());
        let keep = |headers: &HeaderMap, name: &HeaderName| self.trust_forwarded && headers.contains_key(name);
        if !keep(headers, &FORWARDED_PROTO) {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
        }
        if !keep(headers, &FORWARDED_HOST) {
            match asked_host {
                Some(host) => headers.insert(FORWARDED_HOST, host),
                None => headers.remove(FORWARDED_HOST),
            };
        }
        let Ok(peer) = HeaderValue::try_from(self.peer.to_string()) else { return };
        if self.trust_forwarded {
            headers.append(FORWARDED_FOR, peer);
        } else {
            headers.insert(FORWARDED_FOR, peer);
        }
    }
}

/// The host the client asked for: of the address if that has one, as RFC 9112 says, else of `Host`.
fn asked_host(headers: &HeaderMap, uri: &Uri) -> Option<HeaderValue> {
    match uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None => headers.get(HOST).cloned(),
    }
}
