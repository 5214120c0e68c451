//! Bound on waiting: whatever a drafter does, a reply takes at most 1.1 times its plain time plus 100 ms.
//!
//! The target is **simulated**: its passes take 20 ms on any machine, so that times of replies can be compared.

use std::{
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use inference::engine::{Engine, EngineOptions};
use pacing::DeadlineOptions;
use proto::{
    model::Prompt,
    verifier::{DrafterState, Generate, Speculation},
};
use tonic::Request;
use verifier_service::config::Serving;

use crate::{
    drafters::{Kind, Running},
    harness::{Process, Whole, serving},
};

/// Replies of a kind. The fastest counts, since a busy machine only makes them slower.
const REPLIES: usize = 3;
/// Time that a reply may take beyond 1.1 times its plain time.
const FIXED: Duration = Duration::from_millis(100);
/// Inaccuracy of timers and scheduling, in parts of the plain time.
const NOISE: f64 = 0.03;

/// A request whose blocks have this many tokens, or an adaptive number.
fn request(block_tokens: Option<u32>) -> Generate {
    Generate {
        speculation: Speculation::Auto {
            method: None,
            block_tokens,
            allow_lossy: false,
            alternatives: None,
        },
        max_tokens: Some(64),
        seed: Some(1),
        ..Generate::new(Prompt::Text("let the fn = ".to_owned()))
    }
}

async fn timed(process: &Process, request: &Generate) -> (Whole, Duration) {
    let began = Instant::now();
    (process.generate(request).await, began.elapsed())
}

/// Checks that replies with a drafter of this kind keep the bound. True if its breaker has opened meanwhile.
async fn check(kind: Kind, block_tokens: Option<u32>) -> bool {
    let profile =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/profiles/batching-target.toml");
    let engine = Engine::load(&profile, EngineOptions::default()).expect("a simulated model");
    let drafter = Running::start(kind).await;
    let serving = Serving {
        deadline: DeadlineOptions::default(),
        ..serving(&[&drafter.address])
    };
    let process = Process::start(engine, serving).await;
    let request = request(block_tokens);
    let off = Generate {
        speculation: Speculation::Off,
        ..request.clone()
    };
    let (plain, plain_time) = timed(&process, &off).await;
    drafter.learn(&plain.text);
    let replies = async {
        let mut fastest = Duration::MAX;
        for _ in 0..REPLIES {
            let (reply, took) = timed(&process, &request).await;
            assert_eq!(reply.text, plain.text, "{kind:?}");
            fastest = fastest.min(took);
        }
        fastest
    };
    let mut opened = pin!(breaker_opens(&process));
    let mut replies = pin!(replies);
    let (fastest, has_opened) = tokio::select! {
        fastest = &mut replies => (fastest, false),
        () = &mut opened => (replies.await, true),
    };
    let bound = plain_time.mul_f64(1.1 + NOISE) + FIXED;
    assert!(
        fastest <= bound,
        "{kind:?}, blocks of {block_tokens:?}: {fastest:?}, plain {plain_time:?}"
    );
    assert!(drafter.seen(|seen| seen.blocks) > 0, "{kind:?} had no part");
    has_opened
}

/// Ends once the breaker of the drafter is open.
async fn breaker_opens(process: &Process) {
    loop {
        let described = process.client.clone().describe(Request::new(())).await;
        if described.expect("a description").drafters[0].state == DrafterState::BreakerOpen {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_drip_costs_a_tenth_and_a_tenth_of_a_second() {
    check(Kind::Drips, None).await;
    check(Kind::Drips, Some(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alternation_of_fast_and_late_costs_a_tenth_and_a_tenth_of_a_second() {
    check(Kind::Alternates, None).await;
    check(Kind::Alternates, Some(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_costs_a_tenth_and_a_tenth_of_a_second() {
    check(Kind::Chaos, None).await;
    check(Kind::Chaos, Some(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_abort_after_a_block_open_the_breaker() {
    for block_tokens in [None, Some(8)] {
        assert!(check(Kind::Aborts, block_tokens).await);
    }
}
