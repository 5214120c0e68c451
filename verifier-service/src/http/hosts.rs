//! Names by which requests may call this server.
//!
//! A page of anybody's can have its own name lead to 127.0.0.1 once it is loaded; its reader's browser then takes a server on
//! this machine for the page's own and lets it read everything. The name in the request gives that away.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header::HOST, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::error::ApiError;

/// Names that are allowed beside those of the machine itself; `None`: all are.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Option<Arc<[String]>>);

impl Hosts {
    /// Hosts of a port at `address`. They are checked if that is a loopback address or names are given, unless one of these is
    /// `*`.
    pub(super) fn new(address: Option<IpAddr>, allowed: &[String]) -> Self {
        let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
        let is_any = allowed.iter().any(|name| name == "*");
        let is_checked = !is_any && (is_loopback || !allowed.is_empty());
        Self(is_checked.then(|| allowed.into()))
    }

    fn allow(&self, host: &str) -> bool {
        let Some(allowed) = &self.0 else {
            return true;
        };
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let name = authority.host().to_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let address = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        // No name service can make an address lead elsewhere.
        address.unwrap_or(name).parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || allowed.iter().any(|allowed| allowed == name)
    }
}

/// Refuses requests that call the server by another name. One without any name is no browser's.
pub(super) async fn check(
    State(hosts): State<Hosts>,
    mut request: Request,
    next: Next,
) -> Response {
    // HTTP/2 has the name in another place.
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().append(HOST, host);
    }
    let names = request.headers().get_all(HOST).into_iter();
    let mut names = names.map(|name| String::from_utf8_lossy(name.as_bytes()));
    match names.find(|name| !hosts.allow(name)) {
        Some(name) => ApiError::unknown_host(&name).into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [&str; 9] = [
        "localhost",
        "LOCALHOST:8080",
        "localhost.:8080",
        "duet.localhost",
        "127.0.0.1:8080",
        "192.0.2.7",
        "[::1]",
        "[::1]:8080",
        "user@localhost",
    ];
    const ELSEWHERE: [&str; 7] = [
        "example.org",
        "localhost.example.org:8080",
        "notlocalhost",
        "127.0.0.1.example.org",
        "duet",
        "",
        "a b",
    ];

    fn hosts(address: &str, allowed: &[&str]) -> Hosts {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        Hosts::new(address.parse().ok(), &allowed)
    }

    #[test]
    fn loopback_address_is_for_names_of_the_machine_and_those_allowed() {
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            let hosts = hosts(address, &["duet"]);
            for name in HERE {
                assert!(hosts.allow(name), "{name} at {address}");
            }
            assert!(hosts.allow("Duet:80"));
            for name in ELSEWHERE.iter().filter(|name| **name != "duet") {
                assert!(!hosts.allow(name), "{name} at {address}");
            }
        }
    }

    #[test]
    fn other_addresses_are_checked_if_names_are_given() {
        let unchecked = [
            hosts("0.0.0.0", &[]),
            hosts("127.0.0.1", &["*"]),
            hosts("192.0.2.7", &["duet", "*"]),
        ];
        let checked = hosts("0.0.0.0", &["duet"]);
        for name in ELSEWHERE {
            assert!(unchecked.iter().all(|hosts| hosts.allow(name)), "{name}");
            assert_eq!(checked.allow(name), name == "duet", "{name}");
        }
    }
}
