//! The client as a shell has it: output, standard input, exit codes.

use std::{
    io::Write as _,
    process::{Output, Stdio},
};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::{pair, process, prompts};

#[test]
fn generate_answers_through_both_processes_and_reports_what_was_accepted() {
    let pair = pair::shared().blocking_read();
    let args = ["--raw", "--json", "--max-tokens", "24"];
    let args = [&args[..], &["--block-length", "6", prompts::REPETITION]].concat();
    let report = json(&generate(&pair.verifier.url(), &args, ""));
    let count = |field: &str| report["usage"][field].as_u64().unwrap();
    assert!(
        report["text"].as_str().unwrap().contains("red green blue"),
        "{report:#}"
    );
    assert_eq!(report["method"], "greedy");
    assert_eq!(report["finish_reason"], "length");
    assert_eq!(count("completion_tokens"), 24);
    let details = &report["usage"]["completion_tokens_details"];
    let accepted = details["accepted_prediction_tokens"].as_u64().unwrap();
    let rejected = details["rejected_prediction_tokens"].as_u64().unwrap();
    assert!(accepted > 0, "{report:#}");
    assert_eq!(count("proposed_tokens"), accepted + rejected);
    assert!(
        count("target_forwards") < 24,
        "speculation saved no pass: {report:#}"
    );
}

#[test]
fn generate_reads_its_prompt_from_standard_input() {
    let pair = pair::shared().blocking_read();
    let url = pair.verifier.url();
    let args = ["--raw", "--max-tokens", "8"];
    let piped = generate(&url, &args, prompts::REPETITION);
    let given = generate(&url, &[&args[..], &[prompts::REPETITION]].concat(), "");
    assert!(piped.status.success(), "{piped:?}");
    assert_eq!(piped.stdout, given.stdout);
    assert!(piped.stdout.ends_with(b"\n"));
}

#[test]
fn generate_without_speculation_proposes_nothing_and_gives_the_same_text() {
    let pair = pair::shared().blocking_read();
    let url = pair.verifier.url();
    let args = ["--json", "--max-tokens", "16", "Name three colours."];
    let off = json(&generate(
        &url,
        &[&["--speculation", "off"], &args[..]].concat(),
        "",
    ));
    let auto = json(&generate(&url, &args, ""));
    assert_eq!(off["text"], auto["text"]);
    assert_eq!(off["method"], Value::Null);
    assert_eq!(off["usage"]["proposed_tokens"], 0);
    let rounds = &off["usage"]["rounds"];
    assert_eq!(&off["usage"]["fallbacks"]["off"], rounds, "{off:#}");
}

#[test]
fn arguments_that_cannot_be_used_exit_with_64_and_name_the_flag() {
    let cases: [(&str, &[&str]); 6] = [
        ("--speculation", &["--speculation", "maybe", "x"]),
        ("--max-tokens", &["--max-tokens", "0", "x"]),
        ("--temperature", &["--temperature", "warm", "x"]),
        ("--seed", &["--seed", "two", "x"]),
        ("--raw", &["--raw", "--system", "Be brief.", "x"]),
        ("--sead", &["--sead", "1", "x"]),
    ];
    for (flag, args) in cases {
        let output = generate("http://127.0.0.1:1", args, "");
        assert_eq!(output.status.code(), Some(64), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(flag), "{args:?}: {error}");
    }
}

#[tokio::test]
async fn verifier_that_is_not_there_is_named_in_the_error() {
    // Bound and not listening: nobody else gets the port, and nobody answers.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let output = generate(&url, &["Hello?"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: the verifier at "), "{error}");
    assert!(error.contains(&url), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
}

#[test]
fn request_that_the_verifier_refuses_fails_with_the_field_and_what_it_takes() {
    let pair = pair::shared().blocking_read();
    let args = ["--max-tokens", "1000000", "x"];
    let output = generate(&pair.verifier.url(), &args, "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("max_tokens is 1000000: it must be 1 to"),
        "{error}"
    );
}

/// Runs `duet generate` with this on its standard input.
pub(crate) fn generate(verifier: &str, args: &[&str], input: &str) -> Output {
    let mut child = process::command("duet")
        .args(["generate", "--verifier", verifier])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("duet starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that was given its prompt may have ended without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("duet ends")
}

/// Output of `duet generate --json`.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}
