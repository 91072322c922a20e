//! The table of routes, checked once at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderValue, Uri};
use chassis::SettingError;
use chassis::http::admission::Places;

use crate::config::{Config, RouteSettings};

/// What the gateway itself answers; no route may cover it.
const OWN_PATHS: [&str; 4] = ["/actuator", "/docs", "/metrics", "/openapi.json"];

/// A service behind the gateway.
#[derive(Debug)]
pub struct Upstream {
    pub name: String,
    pub authority: Authority,
    /// The authority as the `Host` it is called by.
    pub host: HeaderValue,
    /// The requests that it may have at once, over all routes that lead to it.
    pub places: Places,
}

#[derive(Debug)]
pub struct Route {
    pub path: String,
    pub upstream: Arc<Upstream>,
    pub timeout: Duration,
    /// The timeout in milliseconds, as the service is told.
    pub timeout_header: HeaderValue,
    pub is_public: bool,
}

impl Route {
    /// Whether a path is this route's own or lies below it.
    pub fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

pub fn parse(config: &Config) -> Result<Vec<Arc<Route>>, SettingError> {
    let mut upstreams = BTreeMap::new();
    for (section, addresses) in [("upstreams", &config.upstreams), ("more_upstreams", &config.more_upstreams)] {
        for (name, address) in addresses {
            let upstream = parse_upstream(name, address, config.proxy.max_in_flight)
                .map_err(|problem| SettingError::new(&format!("{section}.{name}"), problem))?;
            upstreams.insert(name.as_str(), Arc::new(upstream));
        }
    }
    let mut routes: Vec<Arc<Route>> = Vec::new();
    for settings in &config.routes {
        let route = parse_route(settings, &upstreams)
            .map_err(|problem| SettingError::new("routes", format!("{}: {problem}", settings.path)))?;
        if routes.iter().any(|other| other.path == route.path) {
            return Err(SettingError::new("routes", format!("{}: is there twice", route.path)));
        }
        routes.push(Arc::new(route));
    }
    Ok(routes)
}

fn parse_upstream(name: &str, address: &str, max_in_flight: usize) -> Result<Upstream, String> {
    let wrong = || format!("`{address}` is no address of a service; write it like http://localhost:8081");
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let is_bare = uri.path() == "/" && uri.query().is_none();
    let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP) && is_bare).ok_or_else(wrong)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let host = HeaderValue::try_from(authority.as_str()).map_err(|_| wrong())?;
    let places = Places::new(name, max_in_flight);
    Ok(Upstream { name: name.to_owned(), authority: authority.clone(), host, places })
}

fn parse_route(settings: &RouteSettings, upstreams: &BTreeMap<&str, Arc<Upstream>>) -> Result<Route, String> {
    let path = settings.path.as_str();
    let is_plain = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if !path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain)) {
        return Err("a path is written like /reservations, in plain letters, without a slash at its end".to_owned());
    }
    let first_segment = path.match_indices('/').nth(1).map_or(path, |(end, _)| &path[..end]);
    if OWN_PATHS.contains(&first_segment) {
        return Err(format!("{first_segment} is the gateway's own"));
    }
    let upstream = upstreams.get(settings.upstream.as_str()).ok_or_else(|| {
        let known: Vec<&str> = upstreams.keys().copied().collect();
        format!("there is no upstream `{}`; known are {}", settings.upstream, known.join(", "))
    })?;
    if settings.timeout.is_zero() {
        return Err("the timeout must be longer than nothing".to_owned());
    }
    let timeout_ms = u64::try_from(settings.timeout.as_millis()).map_err(|_| "the timeout is too long")?;
    Ok(Route {
        path: path.to_owned(),
        upstream: upstream.clone(),
        timeout: settings.timeout,
        timeout_header: HeaderValue::from(timeout_ms),
        is_public: settings.public,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(overrides: &[(&str, &str)]) -> Result<Vec<Arc<Route>>, String> {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = chassis::config::Settings::load(crate::ABOUT, None, &overrides, |_| None).unwrap();
        let config = settings.typed().map_err(|error| error.to_string())?;
        parse(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_routes_are_the_systems_and_only_the_token_servers_are_public() {
        let routes = parsed(&[]).unwrap();
        let shown: Vec<_> =
            routes.iter().map(|route| (route.path.as_str(), route.upstream.name.as_str(), route.is_public)).collect();
        assert_eq!(
            shown,
            [
                ("/reservations", "reservation", false),
                ("/medicalRecords", "diagnosis", false),
                ("/financialManagements", "acceptance", false),
                ("/reservationStats", "lookup", false),
                ("/notices", "notice", false),
                ("/oauth", "oauth", true),
                ("/.well-known", "oauth", true),
            ]
        );
    }

    #[test]
    fn a_route_covers_what_lies_below_it_and_no_namesake() {
        let routes = parsed(&[]).unwrap();
        let reservations = &routes[0];
        assert!(reservations.covers("/reservations"));
        assert!(reservations.covers("/reservations/1"));
        assert!(!reservations.covers("/reservationsX"));
        assert!(!reservations.covers("/reservationStats"));
    }

    #[test]
    fn an_address_that_is_none_names_its_setting() {
        for address in [
            "localhost:8081",
            "https://localhost",
            "http://",
            "http://a/b",
            "http://u:p@a",
            "http://a?b",
            "",
            "http://a b",
        ] {
            let error = parsed(&[("upstreams.lookup", address)]).unwrap_err();
            assert!(error.contains("upstreams.lookup") && error.contains("UPSTREAMS_LOOKUP"), "{address}: {error}");
        }
    }

    #[test]
    fn a_route_to_nowhere_or_of_an_odd_path_names_its_setting() {
        let route = |path: &str, upstream: &str| {
            format!("[{{path = \"{path}\", upstream = \"{upstream}\", timeout = \"1s\"}}]")
        };
        let unknown = parsed(&[("routes", &route("/a", "nobody"))]).unwrap_err();
        assert!(unknown.contains("ROUTES") && unknown.contains("nobody") && unknown.contains("lookup"), "{unknown}");
        for path in ["", "/", "a", "/a/", "/{x}", "/a//b", "/docs", "/actuator/health", "/a b"] {
            let error = parsed(&[("routes", &route(path, "lookup"))]).unwrap_err();
            assert!(error.contains("ROUTES"), "{path}: {error}");
        }
    }

    #[test]
    fn a_route_may_lead_to_a_service_of_the_operators_own() {
        let routes = parsed(&[
            ("more_upstreams", "{payment = \"http://payment:8080\"}"),
            ("routes", "[{path = \"/pay\", upstream = \"payment\", timeout = \"1s\"}]"),
        ]);
        assert_eq!(routes.unwrap()[0].upstream.host, "payment:8080");
    }

    #[test]
    fn the_same_path_twice_is_refused() {
        let twice = "[{path = \"/a\", upstream = \"lookup\", timeout = \"1s\"}, {path = \"/a\", upstream = \"notice\", timeout = \"1s\"}]";
        assert!(parsed(&[("routes", twice)]).unwrap_err().contains("twice"));
    }
}
