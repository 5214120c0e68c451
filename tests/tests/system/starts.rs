//! Starts that cannot succeed: both services say what is wrong and what to do, and end.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::TcpListener,
    path::Path,
};

use tests::tiny::Tiny;

use crate::{pair, process};

const SERVICES: [&str; 2] = ["drafter-service", "verifier-service"];
/// Exit code for input that no machine can use.
const USAGE: i32 = 64;

#[test]
fn unknown_model_is_named_with_the_known_ones() {
    let said = [
        r#"unknown model "gemma-3-270n""#,
        "did you mean",
        "gemma-3-270m",
        "smollm2-135m",
    ];
    refused(&["--model", "gemma-3-270n"], 1, &said);
}

#[test]
fn drafter_without_a_model_is_told_apart_from_a_cascade_without_one() {
    let ends = |model: &str| {
        let mut command = process::command("drafter-service");
        let output = command
            .args(["--model", model, "--listen", "127.0.0.1:0"])
            .output();
        let output = output.expect("the service starts");
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, log) = ends("ngram+");
    assert_eq!(code, Some(USAGE), "{log}");
    assert!(log.contains("write ngram+MODEL"), "{log}");
    let (code, log) = ends("ngrams");
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("ngram drafts without a model"), "{log}");
}

#[test]
fn simulated_model_is_taken_for_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow.toml");
    let profile = "name = \"slow\"\npass_micros = 1.0\nrow_micros = 1.0\nposition_micros = 1.0\n\
                   agreement = 2.0\nseed = 1\ncontext = 10\n";
    fs::write(&path, profile).unwrap();
    let simulated = format!("simulated:{}", text(&path));
    refused(&["--model", text(&path)], 1, &["write", &simulated]);
    refused(&["--model", &simulated], 1, &["agreement is 2", "0 to 1"]);
    refused(&["--model", "simulated:slow"], USAGE, &["--model"]);
}

#[test]
fn file_that_is_not_there_is_named() {
    refused(
        &["--model", "./no-such-model.gguf"],
        1,
        &["no-such-model.gguf"],
    );
}

#[test]
fn truncated_file_is_named_and_said_to_be_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let model = pair::model_path(pair::DRAFTER);
    let half = fs::metadata(&model).unwrap().len() / 2;
    for (name, length) in [
        ("half.gguf", half),
        ("header.gguf", 1000),
        ("magic.gguf", 3),
    ] {
        let path = folder.path().join(name);
        let mut start = File::open(&model).unwrap().take(length);
        io::copy(&mut start, &mut File::create(&path).unwrap()).unwrap();
        refused(
            &["--model", text(&path)],
            1,
            &[text(&path), "is not a usable checkpoint"],
        );
    }
}

#[test]
fn architecture_that_is_not_supported_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.gguf");
    let mut gguf = Tiny::default().gguf();
    // The name of the architecture, and the prefix of its keys.
    while let Some(at) = gguf.windows(5).position(|found| found == b"llama") {
        gguf[at..at + 5].copy_from_slice(b"mamba");
    }
    fs::write(&path, gguf).unwrap();
    refused(
        &["--model", text(&path)],
        1,
        &[text(&path), "mamba", "llama"],
    );
}

#[test]
fn port_in_use_is_named_with_the_flag_that_chooses_another() {
    let folder = tempfile::tempdir().unwrap();
    let model = Tiny::default().write_into(folder.path()).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let said = [&address, "is in use", flag];
        refused(&["--model", text(&model), flag, &address], 1, &said);
    }
}

#[test]
fn values_that_cannot_be_used_are_refused_before_anything_is_loaded() {
    let model = ["--model", pair::DRAFTER];
    refused(
        &[&model[..], &["--threads", "0"]].concat(),
        USAGE,
        &["--threads is 0"],
    );
    refused(
        &[&model[..], &["--listen", "here"]].concat(),
        USAGE,
        &["--listen", "here"],
    );
    refused(
        &[&model[..], &["--device", "tpu"]].concat(),
        USAGE,
        &["--device is tpu"],
    );
    refused(&[], USAGE, &["--model"]);
}

/// Starts both services, which must end with this code and say all of this in one line of error.
fn refused(args: &[&str], code: i32, said: &[&str]) {
    for service in SERVICES {
        let mut command = process::command(service);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let output = command.args(args).output().expect("the service starts");
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{service} {args:?}:\n{log}"
        );
        let errors = log.find("error: ").map_or("", |at| &log[at..]);
        for part in said {
            assert!(
                errors.contains(part),
                "{service} {args:?} does not say {part:?}:\n{log}"
            );
        }
        assert!(!log.contains("panicked"), "{service} {args:?}:\n{log}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
