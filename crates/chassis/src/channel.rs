//! Defaults of our gRPC clients: a channel that connects when it is first used, and how long to leave a peer alone.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use tonic::transport::{Channel, Endpoint};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pings, also on an idle connection: a peer that vanished is noticed before the next request is.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long a ping may stay unanswered.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What the peer may send on one stream before it is read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for a connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// An address that cannot be one of a service.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is not the address of a service: write it as http://HOST:PORT")]
pub struct AddressError {
    address: String,
}

/// A channel to the service at `address`, such as `http://127.0.0.1:50051`. Nothing is connected yet: the first call does
/// that, and so does the next one after a connection was lost. To be called on a runtime.
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

/// How long to wait before each further attempt: twice as long each time up to a limit, less up to half of it at random, so that
/// many who lost the same peer do not come back at once. It never ends.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    most: Duration,
    random: RandomState,
    attempts: u64,
}

impl Backoff {
    /// Waits about `first`, then longer, at most `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            next: first.min(most),
            most,
            random: RandomState::new(),
            attempts: 0,
        }
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.most);
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.most);
        self.attempts += 1;
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.attempts);
        let share = hasher.finish() as f64 / u64::MAX as f64;
        Some(wait.mul_f64(1.0 - share / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit_and_begins_anew_after_a_success() {
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
    async fn address_that_is_none_is_refused_with_an_example() {
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
