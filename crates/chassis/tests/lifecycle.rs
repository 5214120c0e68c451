//! A real server starts and ends: health, drain and cut-off, over TCP on a free port.

use std::{pin::Pin, sync::Arc, time::Duration};

use chassis::{
    admin::Admin,
    channel,
    health::{Health, State},
    lifecycle::{Drained, Lifecycle, ServeError, Servers},
    metrics,
    server::{self, ConnectionLimits},
};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_client::HealthClient,
    health_server::{Health as HealthRpc, HealthServer},
};

/// A stand-in for one of our services: each `watch` is a session whose messages the test supplies. It speaks the health
/// protocol because that needs no schema of its own.
struct Sessions {
    lifecycle: Lifecycle,
    opened: mpsc::Sender<mpsc::Sender<i32>>,
}

#[tonic::async_trait]
impl HealthRpc for Sessions {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse::default()))
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (session, mut messages) = mpsc::channel(1);
        let (sender, receiver) = mpsc::channel(1);
        let cut_off = self.lifecycle.cut_off().clone();
        self.lifecycle.tasks().spawn(async move {
            loop {
                let message = tokio::select! {
                    message = messages.recv() => message.map(|status| Ok(HealthCheckResponse { status })),
                    () = cut_off.cancelled() => Some(Err(Status::unavailable("cut off"))),
                };
                let Some(message) = message else { return };
                let last = message.is_err();
                if sender.send(message).await.is_err() || last {
                    return;
                }
            }
        });
        self.opened
            .send(session)
            .await
            .map_err(|_| Status::internal("the test is gone"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// A running process with an admin port, and a way to stop it.
struct Process {
    address: String,
    admin: String,
    health: Health,
    stop: oneshot::Sender<()>,
    opened: mpsc::Receiver<mpsc::Sender<i32>>,
    ended: JoinSet<Result<Drained, ServeError>>,
}

async fn listen() -> (TcpListener, String) {
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = server::bind(address, "--listen")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

/// With `standard`, the service is the standard health service; else [`Sessions`].
async fn start(standard: bool, grace: Duration) -> Process {
    let lifecycle = Lifecycle::new(grace);
    let health = Health::new(&["duet.test.v1.Test"]).await;
    let (opening, opened) = mpsc::channel(4);
    let mut builder = server::builder(ConnectionLimits::default());
    let router = if standard {
        let reflection = server::reflection(&[]).expect("valid descriptors");
        builder
            .add_service(health.service())
            .add_service(reflection)
    } else {
        let sessions = Sessions {
            lifecycle: lifecycle.clone(),
            opened: opening,
        };
        builder.add_service(HealthServer::new(sessions))
    };
    let (listener, address) = listen().await;
    let (admin_listener, admin) = listen().await;
    let mut registry = metrics::registry("test-service", "0.0.1");
    let counter = Counter::<u64>::default();
    counter.inc_by(3);
    metrics::ours(&mut registry).register("sessions", "Sessions opened", counter);
    let servers = Servers {
        router,
        listener,
        http: None,
        admin: Some(Admin {
            listener: admin_listener,
            registry: Arc::new(registry),
        }),
        health: health.clone(),
    };
    let (stop, stopped) = oneshot::channel();
    let mut ended = JoinSet::new();
    ended.spawn(async move {
        lifecycle
            .serve(servers, async { drop(stopped.await) })
            .await
    });
    Process {
        address: format!("http://{address}"),
        admin,
        health,
        stop,
        opened,
        ended,
    }
}

impl Process {
    fn client(&self) -> HealthClient<tonic::transport::Channel> {
        HealthClient::new(channel::lazy(&self.address).expect("an address"))
    }

    async fn end(&mut self) -> Drained {
        let ended = self.ended.join_next().await.expect("one task");
        ended.expect("no panic").expect("no failure")
    }

    /// Status line and body of a GET.
    async fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.admin)
            .await
            .expect("the admin port");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut response = String::new();
        stream
            .read_to_string(&mut response)
            .await
            .expect("a response");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head");
        (
            head.lines().next().unwrap_or_default().to_owned(),
            format!("{head}\n\n{body}"),
        )
    }
}

fn request(service: &str) -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest {
        service: service.to_owned(),
    })
}

#[tokio::test]
async fn health_turns_not_serving_before_the_stream_ends() {
    let mut process = start(true, Duration::from_mins(1)).await;
    let mut client = process.client();
    for service in ["", "duet.test.v1.Test"] {
        let status = client
            .check(request(service))
            .await
            .unwrap()
            .into_inner()
            .status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    let mut watch = client
        .watch(request("duet.test.v1.Test"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    process.stop.send(()).unwrap();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    assert!(watch.next().await.is_none());
    let ended = process.ended.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(ended, Drained::Finished);
    process.health.set(State::Serving).await;
    assert_eq!(
        process.health.state(),
        State::Stopping,
        "a stopping process does not serve again"
    );
}

#[tokio::test]
async fn accepted_session_finishes_while_new_ones_are_refused() {
    let mut process = start(false, Duration::from_mins(1)).await;
    let mut client = process.client();
    let mut reply = client.watch(request("")).await.unwrap().into_inner();
    let session = process.opened.recv().await.unwrap();
    let (stop, _) = oneshot::channel();
    std::mem::replace(&mut process.stop, stop).send(()).unwrap();
    // The listener closes: new connections are refused, by the system or by the server.
    let refused = loop {
        match process.client().check(request("")).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(status) => break status,
        }
    };
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let (status, _) = process.get("/readyz").await;
    assert!(status.ends_with("503 Service Unavailable"), "{status}");
    let (status, _) = process.get("/livez").await;
    assert!(status.ends_with("200 OK"), "{status}");
    for status in [1, 2] {
        session.send(status).await.unwrap();
        assert_eq!(reply.next().await.unwrap().unwrap().status, status);
    }
    drop(session);
    assert!(reply.next().await.is_none());
    assert_eq!(process.end().await, Drained::Finished);
}

#[tokio::test]
async fn session_that_outlives_the_grace_period_is_cut_off_with_an_error() {
    let mut process = start(false, Duration::ZERO).await;
    let mut reply = process
        .client()
        .watch(request(""))
        .await
        .unwrap()
        .into_inner();
    let session = process.opened.recv().await.unwrap();
    let (stop, _) = oneshot::channel();
    std::mem::replace(&mut process.stop, stop).send(()).unwrap();
    let status = reply.next().await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "cut off")
    );
    assert_eq!(process.end().await, Drained::CutOff { tasks: 1 });
    drop(session);
}

#[tokio::test]
async fn metrics_and_probes_are_served_over_http() {
    let mut process = start(true, Duration::from_mins(1)).await;
    process.client().check(request("")).await.unwrap();
    let (status, text) = process.get("/metrics").await;
    assert!(status.ends_with("200 OK"), "{status}");
    assert!(text.contains("text/plain; version=0.0.4"), "{text}");
    let build = r#"duet_build_info{service="test-service",version="0.0.1"} 1"#;
    assert!(text.contains(build), "{text}");
    assert!(text.contains("duet_sessions_total 3"), "{text}");
    let (status, text) = process.get("/readyz").await;
    assert!(
        status.ends_with("200 OK") && text.ends_with("serving\n"),
        "{text}"
    );
    process.health.set(State::Broken).await;
    let (status, _) = process.get("/livez").await;
    assert!(status.ends_with("503 Service Unavailable"), "{status}");
    process.stop.send(()).unwrap();
    assert!(process.ended.join_next().await.unwrap().unwrap().is_ok());
}
