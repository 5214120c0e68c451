//! A thousand replies at once, over simulated models: real services, protocol, queues and batches, and models that only wait.

use proto::verifier::{FinishReason, Generate};
use tokio::task::JoinSet;
use tonic::Request;

use crate::{
    pair::{self, Answer},
    process::Process,
    prompts,
};

const SESSIONS: usize = 1000;
const TOKENS: u32 = 12;

fn profile(agreement: f64, pass_micros: f64) -> String {
    format!(
        "name = \"quick\"\npass_micros = {pass_micros}\nrow_micros = 1.0\nposition_micros = 0.0\n\
         agreement = {agreement}\nseed = 1\ncontext = 1024\n"
    )
}

/// A service with a simulated model and room for all.
fn start(binary: &str, profile: &std::path::Path, args: &[&str]) -> Process {
    let model = format!("simulated:{}", profile.display());
    let room = [
        "--max-sessions",
        "1000",
        "--queue",
        "4000",
        "--batch-rows",
        "1024",
    ];
    Process::start_untraced(binary, &[&["--model", &model], &room[..], args].concat())
}

fn request(number: usize) -> Generate {
    let prompt = format!("The text of number {number} begins here: ");
    prompts::greedy(&prompt, TOKENS)
}

#[tokio::test]
async fn thousand_sessions_on_one_verifier_end_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (target, draft) = (
        folder.path().join("target.toml"),
        folder.path().join("draft.toml"),
    );
    std::fs::write(&target, profile(1.0, 2000.0)).unwrap();
    std::fs::write(&draft, profile(0.8, 200.0)).unwrap();
    let drafter = start("drafter-service", &draft, &[]);
    let patient = ["--draft-deadline-min", "60s", "--draft-deadline-max", "60s"];
    let url = drafter.url();
    let verifier = start(
        "verifier-service",
        &target,
        &[&["--drafter", &url], &patient[..]].concat(),
    );
    verifier.wait_for("drafter is there", 1);
    let loaded = verifier.wait_for("model is loaded", 1);
    assert_eq!(loaded["architecture"], "simulated");
    let channel = chassis::channel::lazy(&drafter.url()).unwrap();
    let described = proto::drafter::Client::new(channel)
        .describe(Request::new(()))
        .await;
    let model = described.unwrap().model;
    assert!(model.name.starts_with("simulated:"), "{}", model.name);
    assert_eq!(model.architecture, "simulated");

    let url = verifier.url();
    let channel = chassis::channel::lazy(&url).unwrap();
    let mut replies = JoinSet::new();
    for number in 0..SESSIONS {
        let mut client = proto::verifier::Client::new(channel.clone());
        replies.spawn(async move {
            let reply = client.generate(Request::new(request(number))).await;
            let reply =
                reply.unwrap_or_else(|error| panic!("number {number} was refused: {error}"));
            (number, pair::finish(reply, String::new()).await)
        });
    }
    let answers: Vec<(usize, Answer)> = replies.join_all().await;
    assert_eq!(answers.len(), SESSIONS);
    let (mut accepted, mut forwards) = (0, 0);
    for (number, answer) in &answers {
        let usage = &answer.finish.usage;
        assert_eq!(answer.finish.reason, FinishReason::Length, "{number}");
        assert_eq!(usage.completion_tokens, TOKENS, "{number}");
        accepted += usage.accepted_tokens;
        forwards += usage.target_forwards;
    }
    assert!(
        accepted > forwards,
        "{accepted} accepted in {forwards} passes, as in {:?}",
        answers[0].1.finish.usage
    );
    // Whatever company a reply was written in, it is that of plain decoding alone.
    for number in [0, 1, 500, 999] {
        let plain = pair::ask(&url, prompts::plain(&request(number))).await;
        let (_, answer) = answers.iter().find(|(found, _)| *found == number).unwrap();
        assert_eq!(answer.text, plain.text, "{number}");
    }
}
