//! The benchmark on real models: that every text is held against plain decoding, and what it prints.

use std::{fs, process::Output};

use crate::{checks, command_line::json, pair, process};

fn bench(args: &[&str]) -> Output {
    // Few tokens, blocks of one length, and no deadline that a busy machine could miss.
    let quick = ["bench", "--runs", "1", "--max-tokens", "8"];
    process::command("duet")
        .args(quick)
        .args(["--block-lengths", "4"])
        .args(args)
        .output()
        .expect("duet runs")
}

#[test]
fn bench_holds_both_texts_against_each_other_over_two_networks() {
    pair::model_path(pair::TARGET);
    let folder = tempfile::tempdir().unwrap();
    let (prompts, plots) = (
        checks::prompts_in(folder.path()),
        folder.path().join("plots"),
    );
    let models = ["--target", pair::TARGET, "--drafter", pair::DRAFTER];
    let files = [
        "--prompts",
        prompts.to_str().unwrap(),
        "--plots",
        plots.to_str().unwrap(),
    ];
    let rest = ["--rtt", "0,30", "--patient", "--json"];
    let report = json(&bench(&[&models[..], &files, &rest].concat()));
    assert!(
        report["machine"]["cores"].as_u64().unwrap() > 0,
        "{report:#}"
    );
    let rows = report["workloads"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, round_trip) in rows.iter().zip([0.0, 30.0]) {
        assert_eq!(row["name"], "prompts");
        assert_eq!(row["target"], pair::TARGET);
        assert_eq!(row["drafter"], pair::DRAFTER);
        assert_eq!(row["rtt_milliseconds"], round_trip);
        assert_eq!(
            (&row["identical"], &row["identical_is_promised"]),
            (&true.into(), &true.into())
        );
        for field in [
            "plain_tokens_per_second",
            "speculative_tokens_per_second",
            "speedup",
            "acceptance",
            "accepted_per_forward",
            "wire_bytes_per_token",
        ] {
            assert!(row[field].as_f64().unwrap() > 0.0, "{field}: {row:#}");
        }
        // A forward commits more than a token has on average where drafts are accepted.
        assert!(
            row["committed_bytes_per_forward"].as_f64().unwrap() > 4.0,
            "{row:#}"
        );
        assert_eq!(row["replies"].as_array().unwrap().len(), 2);
    }
    // The same proposals come over either network, and the verifier itself sees how far away the drafter is.
    assert_eq!(rows[0]["acceptance"], rows[1]["acceptance"]);
    let seen = rows[1]["rtt_seen_milliseconds"].as_f64().unwrap();
    assert!(seen >= 30.0, "{report:#}");
    let plot = fs::read_to_string(plots.join("speedup-by-round-trip.svg")).unwrap();
    assert!(plot.contains("plain decoding"), "{plot}");
}

#[test]
fn bench_asks_a_running_verifier_for_several_replies_at_once() {
    let pair = pair::shared().blocking_read();
    let folder = tempfile::tempdir().unwrap();
    let prompts = checks::prompts_in(folder.path());
    let (url, prompts) = (pair.verifier.url(), prompts.to_str().unwrap());
    let output = bench(&[
        "--verifier",
        &url,
        "--prompts",
        prompts,
        "--concurrency",
        "2",
    ]);
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    let row = table.lines().last().unwrap();
    assert!(row.starts_with("prompts"), "{table}");
    for cell in [pair::TARGET, pair::DRAFTER, "greedy", " 2 ", "yes"] {
        assert!(format!("{row} ").contains(cell), "{cell}: {table}");
    }
}

#[test]
fn wrong_usage_of_the_benchmark_exits_with_64_and_names_what_is_wrong() {
    let cases: [(&[&str], &str); 5] = [
        (&["--workloads", "humaneval"], "--workloads"),
        (&["--prompts", "/none.jsonl"], "--prompts /none.jsonl"),
        (&["--rtt=-5"], "--rtt"),
        (&["--plots", "/dev/null/plots"], "--plots /dev/null/plots"),
        (&["--verifier", "http://127.0.0.1:1", "--rtt", "5"], "--rtt"),
    ];
    for (args, said) in cases {
        let output = bench(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}
