//! Limits on clients of an HTTP port.

use std::time::Duration;

/// Limits on clients.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Most connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Most header lines of a request.
    pub max_headers: usize,
    /// Most bytes of a request's line and headers together.
    pub max_header_bytes: usize,
    /// Most requests at once on one connection of HTTP/2; further ones wait.
    pub max_streams: u32,
    /// Most bytes that a connection buffers in each direction; of HTTP/2, each of its requests.
    pub max_buffer_bytes: usize,
    /// Longest time for the headers of a request to arrive, and for a connection to be idle.
    pub header_patience: Duration,
    /// Longest time that a client may leave a full connection, or an answer on it, unread.
    pub write_patience: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_headers: 100,
            max_header_bytes: 32 << 10,
            max_streams: 128,
            max_buffer_bytes: 64 << 10,
            header_patience: Duration::from_secs(30),
            write_patience: Duration::from_mins(1),
        }
    }
}
