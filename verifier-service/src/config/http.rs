//! Choices for the HTTP port.

use axum::http::{Uri, uri::Authority};
use serving::range::OutOfRange;

use crate::args::HttpArgs;

/// Choices for the HTTP port.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Origins of pages that may use the API from a browser; `*` is any. None: pages of this port alone.
    pub cors_origins: Vec<String>,
    /// Names in lower case by which requests may call this server, beside those of the machine itself; `*` is any. None: on a
    /// loopback address no other name, elsewhere any.
    pub allowed_hosts: Vec<String>,
    /// True if `/metrics` is served, too.
    pub serves_metrics: bool,
    /// True if the load is reported by vLLM's names, too.
    pub vllm_metrics: bool,
}

impl TryFrom<HttpArgs> for HttpOptions {
    type Error = OutOfRange;

    fn try_from(args: HttpArgs) -> Result<Self, OutOfRange> {
        let origins = args.cors_origin.iter().map(|text| origin(text));
        let hosts = args.allowed_host.iter().map(|text| host(text));
        Ok(Self {
            cors_origins: origins.collect::<Result<_, _>>()?,
            allowed_hosts: hosts.collect::<Result<_, _>>()?,
            serves_metrics: args.http_metrics,
            vllm_metrics: args.vllm_metrics,
        })
    }
}

/// An origin as browsers send it: in lower case, without a path.
fn origin(text: &str) -> Result<String, OutOfRange> {
    let lower = text.to_lowercase();
    let is_origin = |uri: &Uri| {
        let (scheme, authority) = (uri.scheme_str(), uri.authority());
        scheme
            .zip(authority)
            .is_some_and(|(scheme, host)| lower == format!("{scheme}://{host}"))
    };
    if lower == "*" || lower.parse().is_ok_and(|uri| is_origin(&uri)) {
        return Ok(lower);
    }
    let expected = "* or an origin without a path, such as https://example.org";
    Err(OutOfRange::new("--cors-origin", text, expected))
}

/// A name in lower case, without a port.
fn host(text: &str) -> Result<String, OutOfRange> {
    let lower = text.to_lowercase();
    let is_name = |authority: Authority| authority.host() == lower && !lower.ends_with('.');
    if lower == "*" || lower.parse().is_ok_and(is_name) {
        return Ok(lower);
    }
    let expected = "* or a name without a port, such as models.example.org";
    Err(OutOfRange::new("--allowed-host", text, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        for (text, expected) in [
            ("*", "*"),
            ("https://Example.org", "https://example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("app://obsidian.md", "app://obsidian.md"),
        ] {
            assert_eq!(origin(text).unwrap(), expected);
        }
        for text in [
            "",
            "null",
            "example.org",
            "https://example.org/",
            "https://example.org/page",
            "https://*.example.org ",
        ] {
            let error = origin(text).unwrap_err().to_string();
            assert!(error.starts_with("--cors-origin"), "{error}");
        }
    }

    #[test]
    fn hosts_are_names_without_a_port() {
        for text in ["*", "models.example.org", "Duet"] {
            assert_eq!(host(text).unwrap(), text.to_lowercase());
        }
        for text in ["", "duet:80", "http://duet", "duet.", "a b"] {
            let error = host(text).unwrap_err().to_string();
            assert!(error.starts_with("--allowed-host"), "{error}");
        }
    }
}
