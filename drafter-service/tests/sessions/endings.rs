//! Ends of sessions, on either side: nothing of them is left.

use std::time::Duration;

use chassis::lifecycle::Drained;
use drafter_service::config::Serving;
use inference::engine::Logits;
use proto::{
    ClientError,
    drafter::{CloseReason, FailureCode, Open},
};
use tests::tiny::Tiny;
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use tonic::{Code, Request};

use crate::drafter::{PATIENCE, next, open, serve, serve_default, serving};

#[tokio::test]
async fn close_frees_the_session_and_ends_the_stream_with_ok() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    peer.block().await;
    assert_eq!(running.engine.load_now().sessions, 1);
    peer.session.verdicts.close(CloseReason::Finished);
    let last = next(&mut peer.session.blocks).await;
    assert!(matches!(last, Ok(None)), "{last:?}");
    assert_eq!(running.engine.load_now().sessions, 0);
}

#[tokio::test]
async fn dropped_stream_frees_the_session_in_the_middle_of_a_block() {
    let running = serve_default().await;
    // With a method that sends its draws nothing is drafted but blocks.
    let drawn = Open {
        method: "tli".to_owned(),
        ..open()
    };
    let mut peer = running.open(drawn).await;
    let block = peer.block().await;
    // The model's thread is held in a pass, so that the first pass for the next block waits in the queue.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, starts) = oneshot::channel();
    let mut passes = JoinSet::new();
    let mut other = running.engine.open().expect("room");
    passes.spawn(async move {
        let hold = move |_: Logits<'_>| {
            started.send(()).expect("the test waits");
            released.recv().expect("the test releases it");
        };
        other.forward(vec![0], 1, hold).await.expect("a pass");
    });
    starts.await.expect("the pass begins");
    peer.settle(&block, 0, b"x");
    let queued = async {
        while running.engine.load_now().queued == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, queued).await.expect("a block is begun");
    drop(peer);
    running.until_none_is_open().await;
    release.send(()).expect("the pass waits");
    while passes.join_next().await.is_some() {}
    running.until_empty().await;
}

#[tokio::test]
async fn stream_that_ends_without_close_is_cancelled() {
    let running = serve_default().await;
    let mut peer = running.open(open()).await;
    peer.block().await;
    drop(peer.session.verdicts);
    match next(&mut peer.session.blocks).await {
        Err(ClientError::Status(status)) => assert_eq!(status.code(), Code::Cancelled),
        other => panic!("{other:?}"),
    }
    running.until_empty().await;
}

#[tokio::test]
async fn open_session_finishes_while_new_ones_are_refused() {
    let mut running = serve_default().await;
    let mut peer = running.open(open()).await;
    let block = peer.block().await;
    running.stop();
    let refused = async {
        loop {
            match running.newcomer().draft(Request::new(open())).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(ClientError::Status(status)) => break status,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("a refusal");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    peer.settle(&block, 1, b"x");
    let block = peer.block().await;
    assert_eq!(block.round, 2);
    peer.session.verdicts.close(CloseReason::Finished);
    assert!(matches!(next(&mut peer.session.blocks).await, Ok(None)));
    assert_eq!(running.end().await, Drained::Finished);
}

#[tokio::test]
async fn session_that_outlives_the_grace_period_ends_with_a_failure_that_says_so() {
    let grace_period = Duration::ZERO;
    let serving = Serving {
        grace_period,
        ..serving()
    };
    let mut running = serve(Tiny::default(), serving).await;
    let mut peer = running.open(open()).await;
    peer.block().await;
    running.stop();
    assert_eq!(peer.last_failure().await.code, FailureCode::Stopping);
    assert_eq!(running.end().await, Drained::CutOff { tasks: 1 });
}

#[tokio::test]
async fn full_context_is_a_failure_that_ends_the_stream() {
    let tiny = Tiny {
        context: 24,
        ..Tiny::default()
    };
    let running = serve(tiny, serving()).await;
    let mut peer = running.open(open()).await;
    let left = peer.session.opened.context_left;
    assert!(left > 6 && left < 24, "{left}");
    let failure = loop {
        match peer.next().await.unwrap().unwrap() {
            proto::drafter::FromDrafter::Block(block) => {
                peer.settle(&block, block.text.len(), b"!");
            }
            proto::drafter::FromDrafter::Failure(failure) => break failure,
            proto::drafter::FromDrafter::Opened(_) => unreachable!("the client refuses it"),
        }
    };
    assert_eq!(failure.code, FailureCode::ContextFull);
    assert!(matches!(peer.next().await, Ok(None)));
    running.until_empty().await;
}

#[tokio::test]
async fn room_is_refused_and_comes_back() {
    let mut serving = serving();
    serving.limits.max_sessions = 1;
    let running = serve(Tiny::default(), serving).await;
    let mut first = running.open(open()).await;
    let Err(ClientError::Status(status)) = running.try_open(open()).await else {
        panic!("there is no room for two")
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "all 1 sessions at once are open");
    assert!(status.metadata().contains_key("retry-after"));
    first.block().await;
    first.session.verdicts.close(CloseReason::Dismissed);
    assert!(matches!(next(&mut first.session.blocks).await, Ok(None)));
    running.until_empty().await;
    running
        .open(Open {
            credit: 1,
            ..open()
        })
        .await
        .block()
        .await;
}
