//! Clients of HTTP/1.1.

use chassis::http::HttpLimits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::port::{Port, SHORT};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Sends these bytes and reads until the connection is closed.
async fn say(stream: &mut TcpStream, bytes: &[u8]) -> String {
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    String::from_utf8_lossy(&read).into_owned()
}

/// Asks on a connection that stays open.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(ASK).await.expect("a request");
    let mut read = vec![0; 4096];
    let mut len = 0;
    while !read[..len].ends_with(b"here") {
        let more = stream.read(&mut read[len..]).await.expect("an answer");
        assert!(more > 0, "closed");
        len += more;
    }
    String::from_utf8_lossy(&read[..len]).into_owned()
}

#[tokio::test]
async fn headers_that_are_too_many_or_too_long_are_refused() {
    let port = Port::start(HttpLimits::default()).await;
    let many = "x: y\r\n".repeat(101);
    let long = format!("x: {}\r\n", "y".repeat(40 << 10));
    for headers in [many, long] {
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let answer = say(&mut port.connect().await, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(
        ask(&mut port.connect().await)
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn headers_that_do_not_come_and_connections_that_idle_are_given_up() {
    let port = Port::start(HttpLimits {
        header_patience: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let slow = say(&mut port.connect().await, b"GET / HTTP/1.1\r\nhost").await;
    assert!(
        slow.is_empty() || slow.starts_with("HTTP/1.1 408"),
        "{slow}"
    );
    let mut idle = port.connect().await;
    ask(&mut idle).await;
    assert_eq!(idle.read(&mut [0; 64]).await.expect("an end"), 0);
    // Neither has this one said which version it speaks.
    for begun in [&b""[..], b"PRI * HTTP"] {
        let silent = say(&mut port.connect().await, begun).await;
        assert!(silent.is_empty(), "{silent}");
    }
}

#[tokio::test]
async fn connection_over_the_limit_waits_until_one_ends() {
    let port = Port::start(HttpLimits {
        max_connections: 2,
        ..HttpLimits::default()
    })
    .await;
    let (mut first, mut second) = (port.connect().await, port.connect().await);
    ask(&mut first).await;
    ask(&mut second).await;
    let mut third = port.connect().await;
    let waiting = tokio::time::timeout(SHORT, ask(&mut third)).await;
    assert!(waiting.is_err(), "{waiting:?}");
    drop(first);
    // Its request, sent meanwhile, is answered.
    let mut read = [0; 12];
    third.read_exact(&mut read).await.expect("an answer");
    assert_eq!(&read, b"HTTP/1.1 200");
}

#[tokio::test]
async fn client_that_stops_reading_is_given_up() {
    let port = Port::start(HttpLimits {
        max_connections: 1,
        write_patience: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let mut deaf = port.connect().await;
    let request = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    deaf.write_all(request).await.expect("a request");
    // There is room for one connection, so this is answered after the other has been given up.
    ask(&mut port.connect().await).await;
}

#[tokio::test]
async fn stop_closes_idle_connections_and_ends() {
    let mut port = Port::start(HttpLimits::default()).await;
    let (mut idle, mut fresh) = (port.connect().await, port.connect().await);
    ask(&mut idle).await;
    port.stop.cancel();
    assert_eq!(idle.read(&mut [0; 64]).await.expect("an end"), 0);
    let ended = fresh.read(&mut [0; 64]).await;
    assert!(ended.is_err() || ended.is_ok_and(|bytes| bytes == 0));
    port.serving
        .join_next()
        .await
        .expect("a task")
        .expect("no panic");
    assert!(TcpStream::connect(&port.address).await.is_err());
}
