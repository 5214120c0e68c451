//! The port that the tests ask.

use std::time::Duration;

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use chassis::http::{Http, HttpLimits};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// A port that serves until it is dropped or stopped.
pub(crate) struct Port {
    pub(crate) address: String,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
}

impl Port {
    pub(crate) async fn start(limits: HttpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let slow = || async {
            tokio::time::sleep(6 * SHORT).await;
            "here"
        };
        let endless = || async { vec![0_u8; 64 << 20] };
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/endless", get(endless))
            .route("/echo", post(|body: Bytes| async { body }))
            .route("/slow", get(slow));
        let stop = CancellationToken::new();
        let http = Http {
            listener,
            router,
            limits,
        };
        let mut serving = JoinSet::new();
        serving.spawn(http.serve(stop.clone()));
        Self {
            address,
            stop,
            serving,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.expect("the port")
    }
}
