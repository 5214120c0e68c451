//! One request is one trace, through all three processes.

use std::collections::HashSet;

use crate::{
    collector::{self, Collected},
    command_line::{generate, json},
    pair, prompts,
};

#[test]
fn spans_of_client_verifier_and_drafter_are_one_trace() {
    let pair = pair::shared().blocking_read();
    let args = [
        "--raw",
        "--json",
        "--max-tokens",
        "20",
        "--seed",
        "1",
        // Blocks of a fixed length are asked for whatever drafting is worth next to the other tests.
        "--block-length",
        "4",
        prompts::REPETITION,
    ];
    let client = collector::wait("nothing", |_| true);
    let known: HashSet<_> = client.iter().map(|s| s.span.trace_id.clone()).collect();
    let report = json(&generate(&pair.verifier.url(), &args, ""));
    let rounds = report["usage"]["rounds"].as_u64().unwrap();

    // Other tests run clients as well; ours has this number of rounds and is new.
    let spans = collector::wait("a whole trace", |spans| {
        find(spans, &known, rounds).is_some()
    });
    let trace = find(&spans, &known, rounds).expect("the trace that was there");
    let ids: HashSet<_> = trace.iter().map(|s| s.span.span_id.clone()).collect();
    assert_eq!(ids.len(), trace.len(), "span ids differ");
    let roots: Vec<_> = trace
        .iter()
        .filter(|s| s.span.parent_span_id.is_empty())
        .collect();
    assert_eq!(roots.len(), 1, "{roots:#?}");
    assert_eq!(roots[0].service, "duet");
    for collected in &trace {
        let parent = &collected.span.parent_span_id;
        assert!(
            parent.is_empty() || ids.contains(parent),
            "lost its parent: {collected:#?}"
        );
    }
    assert!(count(&trace, "drafter-service", "draft.block") > 0);
    assert_eq!(count(&trace, "verifier-service", "prefill"), 1);
}

/// A new trace with this many rounds, once both services have ended their part of it.
fn find(spans: &[Collected], known: &HashSet<Vec<u8>>, rounds: u64) -> Option<Vec<Collected>> {
    // Other tests leave thousands of spans, so what is known is not gathered again.
    let is_new = |s: &&Collected| s.service == "duet" && !known.contains(&s.span.trace_id);
    let clients = spans.iter().filter(is_new);
    let mut traces = clients.map(|client| {
        let id = &client.span.trace_id;
        let trace = spans.iter().filter(|s| s.span.trace_id == *id);
        trace.cloned().collect::<Vec<_>>()
    });
    traces.find(|trace| {
        count(trace, "verifier-service", "generate") == 1
            && count(trace, "verifier-service", "round") as u64 == rounds
            && count(trace, "drafter-service", "draft.session") == 1
    })
}

fn count(trace: &[Collected], service: &str, name: &str) -> usize {
    let is_it = |s: &&Collected| s.service == service && s.span.name == name;
    trace.iter().filter(is_it).count()
}
