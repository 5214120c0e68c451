//! Engines over tiny models, and what they say.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;

use inference::engine::{Engine, EngineOptions, Logits, Session};

pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        context: Some(256),
        ..EngineOptions::default()
    }
}

pub(crate) fn engine(path: &Path, options: EngineOptions) -> Engine {
    Engine::load(path, options).unwrap()
}

/// Rows of logits.
pub(crate) type Rows = Vec<Vec<f32>>;

/// A reader that copies everything.
#[expect(
    clippy::needless_pass_by_value,
    reason = "readers are given their logits"
)]
pub(crate) fn copied(logits: Logits<'_>) -> Rows {
    (0..logits.rows())
        .map(|row| logits.row(row).to_vec())
        .collect()
}

/// Appends tokens and gives the logits after each of them.
pub(crate) async fn append(session: &mut Session, tokens: &[u32]) -> Rows {
    let passed = session.forward(tokens.to_vec(), tokens.len(), copied).await;
    passed.unwrap().value
}

/// Logits after each token, in one pass of a fresh session.
pub(crate) async fn fresh(engine: &Engine, tokens: &[u32]) -> Rows {
    append(&mut engine.open().unwrap(), tokens).await
}

/// Whether two runs agree in every bit.
pub(crate) fn same(a: &Rows, b: &Rows) -> bool {
    let bits = |rows: &Rows| -> Vec<Vec<u32>> {
        let row = |row: &Vec<f32>| row.iter().map(|x| x.to_bits()).collect();
        rows.iter().map(row).collect()
    };
    bits(a) == bits(b)
}

/// Lets a future run until it waits, so that its command is in the queue.
pub(crate) async fn begin(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// A reader that says that it runs, and then waits.
pub(crate) fn stop(entered: mpsc::Sender<()>, gate: mpsc::Receiver<()>) -> impl FnOnce(Logits<'_>) {
    move |_| {
        entered.send(()).unwrap();
        gate.recv().unwrap();
    }
}
