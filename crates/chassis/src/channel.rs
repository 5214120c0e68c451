//! Defaults of our gRPC clients: a channel that connects when it is first used, and the backoff after failures.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// Longest time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of pings, also on an idle connection: a peer that vanished is noticed before the next request.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest time that a ping may stay unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that the peer may send on one stream before they are read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// An address that cannot be that of a service.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is not the address of a service: write it as http://HOST:PORT")]
pub struct AddressError {
    address: String,
}

/// A channel to the service at `address`, such as `http://127.0.0.1:50051`. The first call connects it, and so does the next
/// call after a connection was lost. Must be called on a runtime.
pub fn lazy(address: &str) -> Result<Channel, AddressError> {
    let wrong = || AddressError {
        address: address.to_owned(),
    };
    if !address.starts_with("http://") {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| wrong())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    Ok(endpoint.connect_lazy())
}

/// Waits before further attempts: doubled each time up to a limit, then shortened at random by up to half, so that clients that
/// lost the same peer do not all return at once. It never ends.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// A backoff that begins with about `first` and never exceeds `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            next: first.min(most),
            most,
        }
    }

    /// Starts over with the first wait, after a success.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.most);
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.most);
        Some(wait.mul_f64(1.0 - fastrand::f64() / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for whole in [100, 200, 350, 350] {
            let wait = backoff.next().unwrap().as_secs_f64() * 1000.0;
            let whole = f64::from(whole);
            assert!(wait >= whole / 2.0 && wait <= whole, "{wait} of {whole}");
        }
        backoff.reset();
        assert!(backoff.next().unwrap() <= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn address_of_no_service_is_refused_with_an_example() {
        for address in [
            "",
            "127.0.0.1:50051",
            "https://host:1",
            "unix:/x",
            "http://",
        ] {
            let error = lazy(address).unwrap_err();
            assert!(error.to_string().contains("http://HOST:PORT"), "{address}");
        }
        assert!(lazy("http://127.0.0.1:1").is_ok());
    }
}
