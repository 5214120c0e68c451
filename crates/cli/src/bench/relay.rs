//! An emulated network: a TCP relay that delays bytes by a fixed time each way.
//!
//! Bytes keep their order and their rate; only their arrival is shifted. A stream of messages is as late as over a long line,
//! and no slower. Sleeping threads do it, because the runtime's timers are only accurate to a millisecond.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Most connections at once; further ones are closed.
const MAX_CONNECTIONS: usize = 64;
/// Most bytes in one piece, and most pieces on their way. Further bytes wait in the sender's buffers.
const PIECE_BYTES: usize = 32 << 10;
const MAX_PIECES: usize = 1024;

/// A relay that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// State that the threads of a relay share.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    delay: Duration,
    has_ended: AtomicBool,
    /// Both ends of every connection, kept so that they can be closed.
    open: Mutex<Vec<TcpStream>>,
}

/// Bytes on their way, and their time of arrival.
type Piece = (Instant, Vec<u8>);

impl Relay {
    /// Relays to `upstream` with this delay each way.
    pub(super) fn start(upstream: SocketAddr, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            delay,
            has_ended: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        let accepting = named("relay").spawn(move || accept(&listener, &accepting))?;
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Address of the listener.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; if that fails, it cannot be joined.
        let woken = TcpStream::connect(self.address);
        self.shared.close();
        if let Some(accepting) = self.accepting.take()
            && woken.is_ok()
        {
            // A panic has been printed already.
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        // No thread panics while it holds the list, and a panic would leave it consistent.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        for stream in self.open().drain(..) {
            // Its owner may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut pumps: Vec<JoinHandle<()>> = Vec::new();
    for client in listener.incoming() {
        if shared.has_ended.load(Ordering::SeqCst) {
            break;
        }
        pumps.retain(|pump| !pump.is_finished());
        if pumps.is_empty() {
            // All connections have ended, so none of these needs closing.
            shared.open().clear();
        }
        if pumps.len() >= 2 * MAX_CONNECTIONS {
            continue;
        }
        // A failed connection is dropped, as by a network; the next one may succeed.
        if let Ok(started) = client.and_then(|client| connect(client, shared)) {
            pumps.extend(started);
        }
    }
    shared.close();
    for pump in pumps {
        let _ = pump.join();
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) -> io::Result<[JoinHandle<()>; 2]> {
    let server = TcpStream::connect(shared.upstream)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        shared.open().push(stream.try_clone()?);
    }
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_server, to_server) = (server.try_clone()?, server);
    let delay = shared.delay;
    Ok([
        named("relay-up").spawn(move || pump(from_client, to_server, delay))?,
        named("relay-down").spawn(move || pump(from_server, to_client, delay))?,
    ])
}

/// One direction: reads bytes as they come; another thread writes them when they are due.
fn pump(mut from: TcpStream, to: TcpStream, delay: Duration) {
    let (pieces, due) = mpsc::sync_channel::<Piece>(MAX_PIECES);
    let Ok(delivery) = named("relay-out").spawn(move || deliver(to, &due)) else {
        return;
    };
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = (Instant::now() + delay, buffer[..count].to_vec());
        if pieces.send(piece).is_err() {
            break;
        }
    }
    drop(pieces);
    let _ = delivery.join();
    let _ = from.shutdown(Shutdown::Read);
}

fn deliver(mut to: TcpStream, due: &mpsc::Receiver<Piece>) {
    while let Ok((arrival, bytes)) = due.recv() {
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // The end of the stream follows its last byte. The reader may have left already.
    let _ = to.shutdown(Shutdown::Write);
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any run of a test; a reader that waits this long has failed.
    const PATIENCE: Duration = Duration::from_mins(1);

    fn through(delay: Duration) -> (Relay, TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let upstream = listener.local_addr().expect("an address");
        let relay = Relay::start(upstream, delay).expect("a relay");
        let client = TcpStream::connect(relay.address()).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        (relay, client, server)
    }

    #[test]
    fn bytes_arrive_in_order_and_the_end_after_them() {
        let (_relay, mut client, mut server) = through(Duration::from_millis(5));
        let sent: Vec<u8> = (0..1_000_000_u32)
            .map(|i| (i.wrapping_mul(i) >> 7) as u8)
            .collect();
        let copy = sent.clone();
        let writer = thread::spawn(move || {
            for piece in copy.chunks(7_001) {
                client.write_all(piece).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            answer
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent.len());
        assert!(received == sent);
        server.write_all(b"all there").unwrap();
        drop(server);
        assert_eq!(writer.join().unwrap(), b"all there");
    }

    #[test]
    fn echo_takes_the_delay_twice() {
        let delay = Duration::from_millis(30);
        let (_relay, mut client, mut server) = through(delay);
        let echo = thread::spawn(move || {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            server.write_all(&byte).unwrap();
        });
        let began = Instant::now();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        let took = began.elapsed();
        assert!(took >= 2 * delay, "{took:?}");
        echo.join().unwrap();
    }

    #[test]
    fn pieces_on_the_way_do_not_wait_for_each_other() {
        let delay = Duration::from_millis(200);
        let (_relay, mut client, mut server) = through(delay);
        let began = Instant::now();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 50];
            server.read_exact(&mut bytes).unwrap();
            began.elapsed()
        });
        for _ in 0..50 {
            client.write_all(b"x").unwrap();
        }
        let took = reader.join().unwrap();
        // One after another they would take 50 delays, 10 s.
        assert!(took >= delay && took < 25 * delay, "{took:?}");
    }

    #[test]
    fn dropped_relay_closes_its_connections() {
        let (relay, mut client, mut server) = through(Duration::from_millis(1));
        drop(relay);
        for stream in [&mut client, &mut server] {
            // The connection ends or is reset.
            assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        }
    }
}
