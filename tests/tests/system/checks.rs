//! The two checks on real models: what they print, what they find, how they end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use crate::{command_line::json, pair, process, prompts};

/// Two prompts: one that every model goes on with alike, and one that it does not.
pub(crate) fn prompts_in(folder: &Path) -> PathBuf {
    let path = folder.join("prompts.jsonl");
    let message = serde_json::json!({"role": "user", "content": "Name three colours."});
    let lines = [
        serde_json::json!({"id": "repetition", "prompt": prompts::REPETITION}),
        serde_json::json!({"id": "colours", "messages": [message]}),
    ];
    let lines = lines.map(|line| line.to_string());
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn duet(command: &str, args: &[&str]) -> Output {
    duet_with([pair::TARGET, pair::DRAFTER], command, args)
}

/// Without spans: a check makes thousands, and another test looks for its own.
fn duet_with([target, drafter]: [&str; 2], command: &str, args: &[&str]) -> Output {
    process::command("duet")
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .arg(command)
        .args(["--target", target, "--drafter", drafter])
        .args(args)
        .output()
        .expect("duet runs")
}

fn check_lossless(prompts: &Path, args: &[&str]) -> Output {
    let prompts = prompts.to_str().unwrap();
    duet("check-lossless", &[&["--prompts", prompts], args].concat())
}

#[test]
fn pair_of_two_vocabularies_is_compatible_and_its_acceptance_is_sampled() {
    pair::model_path(pair::TARGET);
    let report = json(&duet("check-pair", &["--sample", "12", "--json"]));
    assert_eq!(report["fit"], "compatible", "{report:#}");
    assert_eq!(report["same_tokenizer"], false);
    assert_eq!(report["drafter"]["vocabulary_size"], 49_152);
    let shared = report["shared_spellings"].as_u64().unwrap();
    assert!((46_000..46_300).contains(&shared), "{shared}");
    for trip in report["round_trips"].as_array().unwrap() {
        assert_eq!(trip["lost_bytes"], 0, "{trip}");
    }
    let tokens = report["acceptance"]["completion_tokens"].as_u64().unwrap();
    assert!((1..=36).contains(&tokens), "{report:#}");
    assert!(report["acceptance"]["accepted_tokens"].as_u64().unwrap() > 0);
    let verdict = report["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("compatible: ") && verdict.contains("accepted per target forward"));
}

#[test]
fn pair_without_weights_is_compared_by_its_tokenizers() {
    let path = pair::model_path(pair::DRAFTER);
    let same = path.to_str().unwrap();
    let output = process::command("duet")
        .args([
            "check-pair",
            "--target",
            same,
            "--drafter",
            same,
            "--no-sample",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    let verdict = table.lines().last().unwrap();
    assert!(verdict.contains("both have the same tokenizer"), "{table}");
    assert!(table.contains("1:1 100.0 %"), "{table}");
    let missing = process::command("duet")
        .args([
            "check-pair",
            "--target",
            same,
            "--drafter",
            "./none/tokenizer.json",
        ])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let error = String::from_utf8(missing.stderr).unwrap();
    assert!(error.contains("./none/tokenizer.json"), "{error}");
}

#[test]
fn running_verifier_reports_on_its_drafter() {
    let pair = pair::shared().blocking_read();
    let url = pair.verifier.url();
    let ask = |args: &[&str]| {
        let all = [&["check-pair", "--verifier", &url], args].concat();
        process::command("duet").args(all).output().unwrap()
    };
    let report = json(&ask(&["--json"]));
    assert_eq!(report["fit"], "compatible", "{report:#}");
    assert_eq!(report["drafter"]["vocabulary_size"], 49_152);
    assert_eq!(report["acceptance"], serde_json::Value::Null);
    let unknown = ask(&["--drafter", "http://127.0.0.1:1"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert!(error.contains("http://127.0.0.1:1"), "{error}");
    let both = ask(&["--target", pair::TARGET]);
    assert_eq!(both.status.code(), Some(64), "{both:?}");
}

#[test]
fn seeded_methods_give_the_text_of_plain_decoding() {
    pair::model_path(pair::TARGET);
    let folder = tempfile::tempdir().unwrap();
    let prompts = prompts_in(folder.path());
    for method in ["greedy", "coupled"] {
        let args = [
            "--method",
            method,
            "--seeds",
            "2",
            "--max-tokens",
            "12",
            "--json",
        ];
        let report = json(&check_lossless(&prompts, &args));
        assert_eq!(report["differs"], false, "{report:#}");
        assert_eq!(report["promise"], "same text");
        assert_eq!(report["texts"]["compared"], 4);
        assert!(
            report["accepted_tokens"].as_u64().unwrap() > 0,
            "{report:#}"
        );
    }
}

#[test]
fn method_that_keeps_the_distribution_passes_a_test_that_says_what_it_can_find() {
    pair::model_path(pair::TARGET);
    let folder = tempfile::tempdir().unwrap();
    let prompts = prompts_in(folder.path());
    let args = [
        "--method",
        "point_mass",
        "--seeds",
        "40",
        "--top-p",
        "0.5",
        "--json",
    ];
    let report = json(&check_lossless(&prompts, &args));
    assert_eq!(report["differs"], false, "{report:#}");
    assert_eq!(report["promise"], "same distribution");
    let distributions = &report["distributions"];
    assert_eq!(distributions["replies_a_side"], 40);
    for test in distributions["tests"].as_array().unwrap() {
        let number = |field: &str| test[field].as_f64().unwrap();
        assert!(number("p_adjusted") >= number("p"), "{test}");
        let (tv, found) = (
            number("total_variation"),
            number("detectable_total_variation"),
        );
        assert!((0.0..=1.0).contains(&tv) && found > 0.0, "{test}");
    }
}

/// The pair turned around: the drafter has single tokens for Korean, the target spells it by bytes, so that many drafts begin with one
/// target token, and the published rule accepts each of them as if it were the only one.
#[test]
fn published_rule_is_caught_as_lossy_and_the_rule_that_keeps_the_distribution_is_not() {
    pair::model_path(pair::TARGET);
    pair::model_path(pair::DRAFTER);
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts.jsonl");
    let prompt = serde_json::json!({"id": "korean", "prompt": "아침에 일어나서 나는"});
    fs::write(&prompts, prompt.to_string()).unwrap();
    let prompts = prompts.to_str().unwrap();
    for (method, is_lossy) in [("token_timing", true), ("path_conditional", false)] {
        let args = [
            "--prompts",
            prompts,
            "--method",
            method,
            "--temperature",
            "1",
            "--seeds",
            "150",
            "--max-tokens",
            "2",
            "--json",
        ];
        let output = duet_with([pair::DRAFTER, pair::TARGET], "check-lossless", &args);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["differs"], is_lossy, "{report:#}");
        assert_eq!(
            output.status.code(),
            Some(i32::from(is_lossy)),
            "{output:?}"
        );
        assert!(
            report["accepted_tokens"].as_u64().unwrap() > 0,
            "{report:#}"
        );
    }
}

#[test]
fn wrong_usage_of_a_check_exits_with_64_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = prompts_in(folder.path());
    let bad = folder.path().join("bad.jsonl");
    fs::write(
        &bad,
        "{\"id\": \"a\", \"prompt\": \"x\"}\n{\"id\": \"b\"}\n",
    )
    .unwrap();
    let cases: [(&Path, &[&str], &str); 5] = [
        (&prompts, &["--method", "typical"], "--method"),
        (
            &prompts,
            &["--method", "greedy", "--temperature", "1"],
            "--temperature",
        ),
        (
            &prompts,
            &["--method", "point_mass", "--max-tokens", "1"],
            "--max-tokens",
        ),
        (&bad, &["--method", "coupled"], "line 2: prompt is missing"),
        (
            Path::new("/none.jsonl"),
            &["--method", "coupled"],
            "--prompts",
        ),
    ];
    for (prompts, args, said) in cases {
        let output = check_lossless(prompts, args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?}: {error}");
        assert!(output.stdout.is_empty());
    }
}
