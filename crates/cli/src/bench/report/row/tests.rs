//! Rows of invented replies.

use super::*;
use crate::bench::args::tests::experiment;
use crate::bench::arrivals::Batch;
use crate::bench::reply::MeasuredReply;
use crate::bench::reply::tests::{pair, reply};
use crate::bench::task::Task;

fn workload(name: &str, count: usize) -> Workload {
    let task = |i: usize| Task {
        kind: Some(["even", "odd"][i % 2].to_owned()),
        ..Task::new(
            format!("task {i}"),
            proto::model::Prompt::Text("x".to_owned()),
        )
    };
    Workload {
        name: name.to_owned(),
        tasks: (0..count).map(task).collect(),
        is_endless: false,
    }
}

fn variant_replies(pairs: Vec<ReplyPair>) -> VariantReplies {
    let variant = experiment(&["--block-lengths", "4"])
        .expect("an experiment")
        .variants[0];
    let mut replies = VariantReplies::new(variant);
    replies.pairs = pairs;
    replies
}

fn row_of(workload: &Workload, load: OfferedLoad, replies: &VariantReplies) -> ReportRow {
    let experiment = experiment(&[]).expect("an experiment");
    let tested = Tested::described("target", "drafter", Duration::from_millis(10));
    ReportRow::new(&tested, &experiment, workload, load, replies)
}

/// A row of three prompts, each with this speed-up.
pub(crate) fn row(name: &str, speedup: f64) -> ReportRow {
    let pairs = (0..3).map(|task| pair(task, speedup)).collect();
    row_of(
        &workload(name, 3),
        OfferedLoad::AtOnce(1),
        &variant_replies(pairs),
    )
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
    let pairs = speedups.map(|(task, speedup)| pair(task, speedup));
    let row = row_of(
        &workload("one", 3),
        OfferedLoad::AtOnce(1),
        &variant_replies(pairs.to_vec()),
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
        let mut other = reply("other text", 10, 500);
        other.method = Some(method.to_owned());
        let mut differing = pair(1, 2.0);
        differing.speculative = other.into();
        let pairs = vec![differing];
        row_of(
            &workload("one", 2),
            OfferedLoad::AtOnce(1),
            &variant_replies(pairs),
        )
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
        replies: vec![
            MeasuredReply {
                latency: Duration::from_millis(latency),
                ..reply("text", 10, 100)
            };
            4
        ],
        took: Duration::from_millis(milliseconds),
    };
    let mut replies = variant_replies(Vec::new());
    replies.add_batches(&[0, 1, 0, 1], &batch(2000, 900), &batch(1000, 300));
    let row = row_of(&workload("one", 2), OfferedLoad::AtOnce(4), &replies);
    let close = |one: f64, other: f64| (one - other).abs() < 1e-6;
    assert!(close(row.figures.plain, 20.0) && close(row.figures.speculative, 40.0));
    assert!(close(row.figures.speedup.unwrap().median, 2.0));
    let row = row_of(&workload("one", 2), OfferedLoad::Arriving(1.0), &replies);
    assert!(close(row.figures.speedup.unwrap().median, 3.0));
    assert_eq!(row.json()["arrivals_per_second"], 1.0);
    assert_eq!(row.json()["concurrency"], Value::Null);
}
