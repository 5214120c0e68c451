//! Rows of replies that are made up.

use super::*;
use crate::bench::args::tests::plan;
use crate::bench::arrivals::Batch;
use crate::bench::sample::Sample;
use crate::bench::sample::tests::{compared, sample};
use crate::bench::workloads::Task;

fn workload(name: &str, count: usize) -> Workload {
    let task = |i: usize| Task {
        id: format!("task {i}"),
        kind: Some(["even", "odd"][i % 2].to_owned()),
        prompt: proto::model::Prompt::Text("x".to_owned()),
    };
    Workload {
        name: name.to_owned(),
        tasks: (0..count).map(task).collect(),
        is_endless: false,
    }
}

fn outcome(pairs: Vec<Compared>) -> Outcome {
    let variant = plan(&["--block-lengths", "4"]).expect("a plan").variants[0];
    let mut outcome = Outcome::new(variant);
    outcome.pairs = pairs;
    outcome
}

fn made(workload: &Workload, load: Load, outcome: &Outcome) -> Row {
    let plan = plan(&[]).expect("a plan");
    let tested = Tested::made("target", "drafter", Duration::from_millis(10));
    Row::new(&tested, &plan, workload, load, outcome)
}

/// A row of three prompts, each with this speed-up.
pub(crate) fn row(name: &str, speedup: f64) -> Row {
    let pairs = (0..3).map(|task| compared(task, speedup)).collect();
    made(&workload(name, 3), Load::AtOnce(1), &outcome(pairs))
}

#[test]
fn figures_are_medians_over_prompts_of_medians_over_runs() {
    // Prompt 0 has the medians 2.0, prompt 1 4.0, prompt 2 2.5; one run of prompt 1 was disturbed.
    let speedups = [
        (0, 2.0),
        (1, 4.0),
        (2, 2.5),
        (0, 2.0),
        (1, 0.1),
        (2, 2.5),
        (0, 2.0),
        (1, 4.0),
        (2, 2.5),
    ];
    let pairs = speedups.map(|(task, speedup)| compared(task, speedup));
    let row = made(
        &workload("one", 3),
        Load::AtOnce(1),
        &outcome(pairs.to_vec()),
    );
    let spread = row.figures.speedup.unwrap();
    let close = |one: f64, other: f64| (one - other).abs() < 1e-6;
    assert!(
        close(spread.median, 2.5) && close(spread.maximum, 4.0),
        "{spread:?}"
    );
    assert!(close(row.figures.plain, 10.0) && close(row.figures.speculative, 25.0));
}

#[test]
fn json_has_every_promised_field() {
    let json = row("one", 2.0).json();
    for (field, expected) in [
        ("name", json!("one")),
        ("target", json!("target")),
        ("drafter", json!("drafter")),
        ("plain_tokens_per_second", json!(10.0)),
        ("speculative_tokens_per_second", json!(20.0)),
        ("speedup", json!(2.0)),
        ("acceptance", json!(0.625)),
        ("accepted_per_forward", json!(1.0)),
        ("committed_bytes_per_forward", json!(1.8)),
        ("identical", json!(true)),
        ("block_length", json!(4)),
        ("rtt_milliseconds", json!(10.0)),
        ("concurrency", json!(1)),
    ] {
        assert_eq!(json[field], expected, "{field}");
    }
    let kinds = json["kinds"].as_array().unwrap();
    assert_eq!((kinds.len(), &kinds[0]["kind"]), (2, &json!("even")));
    assert_eq!(json["replies"][2]["id"], "task 2");
}

#[test]
fn text_that_differs_breaks_a_promise_only_where_there_is_one() {
    let differs = |method: &str| {
        let mut other = sample("other text", 10, 500);
        other.method = Some(method.to_owned());
        let mut pair = compared(1, 2.0);
        pair.speculative = other.into();
        let pairs = vec![pair];
        made(&workload("one", 2), Load::AtOnce(1), &outcome(pairs))
    };
    let broken = differs("coupled");
    assert!(!broken.is_identical());
    assert!(broken.broken_promises().eq(["task 1"]));
    assert_eq!(broken.json()["identical"], false);
    let allowed = differs("point_mass");
    assert!(!allowed.is_identical());
    assert_eq!(allowed.broken_promises().count(), 0);
}

#[test]
fn throughput_of_many_is_all_tokens_by_all_time_and_arrivals_compare_latency() {
    let batch = |milliseconds: u64, latency: u64| Batch {
        samples: vec![
            Sample {
                latency: Duration::from_millis(latency),
                ..sample("text", 10, 100)
            };
            4
        ],
        took: Duration::from_millis(milliseconds),
    };
    let mut outcome = outcome(Vec::new());
    outcome.add_batches(&[0, 1, 0, 1], &batch(2000, 900), &batch(1000, 300));
    let row = made(&workload("one", 2), Load::AtOnce(4), &outcome);
    let close = |one: f64, other: f64| (one - other).abs() < 1e-6;
    assert!(close(row.figures.plain, 20.0) && close(row.figures.speculative, 40.0));
    assert!(close(row.figures.speedup.unwrap().median, 2.0));
    let row = made(&workload("one", 2), Load::Arriving(1.0), &outcome);
    assert!(close(row.figures.speedup.unwrap().median, 3.0));
    assert_eq!(row.json()["arrivals_per_second"], 1.0);
    assert_eq!(row.json()["concurrency"], Value::Null);
}
