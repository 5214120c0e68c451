//! Clients of HTTP/2 that know beforehand that the port speaks it.

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, Version},
};
use chassis::http::HttpLimits;
use hyper::{
    Error,
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use crate::port::{Port, SHORT};

/// A client with one connection.
struct Client {
    requests: SendRequest<Body>,
    connection: JoinSet<Result<(), Error>>,
}

impl Client {
    async fn connect(port: &Port) -> Self {
        let io = TokioIo::new(port.connect().await);
        let (requests, driver) = handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        let mut connection = JoinSet::new();
        connection.spawn(driver);
        Self {
            requests,
            connection,
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let mut requests = self.requests.clone();
        requests.ready().await?;
        requests.send_request(request).await
    }

    async fn get(&self, path: &str) -> Result<Response<Incoming>, Error> {
        self.send(to(path).body(Body::empty()).expect("a request"))
            .await
    }

    /// Waits until the server closes the connection.
    async fn ended(mut self) {
        drop(self.requests);
        let ended = self.connection.join_next().await.expect("a connection");
        // Whether the last frames are read before the end is a matter of chance.
        drop(ended.expect("no panic"));
    }
}

fn to(path: &str) -> axum::http::request::Builder {
    Request::builder()
        .version(Version::HTTP_2)
        .uri(format!("http://duet{path}"))
}

async fn text(response: Response<Incoming>) -> Vec<u8> {
    let body = to_bytes(Body::new(response.into_body()), usize::MAX).await;
    body.expect("a body").to_vec()
}

#[tokio::test]
async fn requests_share_a_connection() {
    let port = Port::start(HttpLimits {
        max_connections: 1,
        header_patience: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let client = Client::connect(&port).await;
    let (slow, quick) = tokio::join!(client.get("/slow"), client.get("/"));
    assert_eq!(text(slow.expect("an answer")).await, b"here");
    assert_eq!(text(quick.expect("an answer")).await, b"here");
    // Longer than the windows of both sides.
    let long = vec![b'x'; 1 << 20];
    let request = to("/echo").method("POST").body(Body::from(long.clone()));
    let answer = client.send(request.expect("a request")).await;
    assert_eq!(text(answer.expect("an answer")).await, long);
    // Nothing more is asked.
    client.ended().await;
}

#[tokio::test]
async fn headers_that_are_too_many_or_too_long_are_refused() {
    let port = Port::start(HttpLimits::default()).await;
    let client = Client::connect(&port).await;
    let many = (0..101).fold(to("/"), |request, number| {
        request.header(format!("x-{number}"), "y")
    });
    let long = to("/").header("x", "y".repeat(40 << 10));
    for request in [many, long] {
        let request = request.body(Body::empty()).expect("a request");
        let answer = client.send(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let answer = client.get("/").await.expect("an answer");
    assert_eq!(text(answer).await, b"here");
}

#[tokio::test]
async fn answer_that_is_left_unread_ends_its_connection() {
    let port = Port::start(HttpLimits {
        max_connections: 1,
        write_patience: SHORT,
        ..HttpLimits::default()
    })
    .await;
    let client = Client::connect(&port).await;
    let unread = client.get("/endless").await.expect("an answer");
    // Others are read meanwhile, and keep the connection busy.
    assert_eq!(
        text(client.get("/").await.expect("an answer")).await,
        b"here"
    );
    client.ended().await;
    drop(unread);
    // There is room for one connection, so this is answered after the other has been given up.
    let next = Client::connect(&port).await;
    assert_eq!(text(next.get("/").await.expect("an answer")).await, b"here");
}

#[tokio::test]
async fn request_in_progress_is_finished_after_the_stop_and_no_other_is_begun() {
    let mut port = Port::start(HttpLimits::default()).await;
    let client = Client::connect(&port).await;
    let stopping = async {
        tokio::time::sleep(SHORT).await;
        port.stop.cancel();
    };
    let (answer, ()) = tokio::join!(client.get("/slow"), stopping);
    assert_eq!(text(answer.expect("an answer")).await, b"here");
    let ended = port.serving.join_next().await.expect("a task");
    ended.expect("no panic");
    assert!(client.get("/").await.is_err());
}
