//! Defaults of our gRPC servers, and the ports they listen on.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::trace;

/// Interval of pings on a silent connection, so that a peer that vanished is noticed within half a minute.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest time that a ping may stay unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that a peer may send on one stream before they are read. Our messages are small, except for prompts.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for a connection: a few prompts at once.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Most bytes in the headers of a request.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Limits on a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Most streams at once on one connection. A verifier has all its sessions with a drafter on one.
    pub max_streams: u32,
    /// Age at which a connection is asked to close, so that clients find new replicas; its streams go on. `None`: no limit.
    pub max_age: Option<Duration>,
    /// Longest time that the streams of such a connection may go on.
    pub max_age_grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_streams: 1024,
            max_age: Some(Duration::from_mins(10)),
            max_age_grace: Duration::from_mins(30),
        }
    }
}

/// A server with our defaults: keepalive, flow control, limits, and a span around every call.
pub fn builder(limits: ConnectionLimits) -> Server {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(limits.max_streams)
        .trace_fn(trace::call_span);
    match limits.max_age {
        Some(age) => server
            .max_connection_age(age)
            .max_connection_age_grace(limits.max_age_grace),
        None => server,
    }
}

/// The reflection service for the given descriptor sets and the health service.
pub fn reflection(
    descriptor_sets: &[&'static [u8]],
) -> Result<ServerReflectionServer<impl ServerReflection + use<>>, tonic_reflection::server::Error>
{
    let mut builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    for set in descriptor_sets {
        builder = builder.register_encoded_file_descriptor_set(set);
    }
    builder.build_v1()
}

/// Failure to listen on a port.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error(
        "{address} is in use by another process: stop that one, or choose another address with {flag} (port 0 picks a free one)"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// The argument it came from.
        flag: &'static str,
    },
    /// This machine does not have the address.
    #[error(
        "{address} is not an address of this machine: choose one that is with {flag} (0.0.0.0 and [::] take all)"
    )]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
        /// The argument it came from.
        flag: &'static str,
    },
    /// Anything else, such as a port that needs privileges.
    #[error("cannot listen on {address}: choose another address with {flag}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// The argument it came from.
        flag: &'static str,
        /// Error of the system.
        source: io::Error,
    },
}

/// Listens on `address`; `flag` is the argument that it came from, such as `--listen`.
pub async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address, flag },
            io::ErrorKind::AddrNotAvailable => BindError::NotLocal { address, flag },
            _ => BindError::Other {
                address,
                flag,
                source,
            },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_in_use_is_an_error_that_says_what_to_do() {
        let taken = bind("127.0.0.1:0".parse().unwrap(), "--listen")
            .await
            .unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address, "--admin-listen").await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("{address} is in use")), "{text}");
        assert!(text.contains("--admin-listen"), "{text}");
    }

    #[tokio::test]
    async fn address_of_another_machine_is_an_error_that_says_what_to_do() {
        let error = bind("192.0.2.1:0".parse().unwrap(), "--listen")
            .await
            .unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
    }
}
