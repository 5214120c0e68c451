//! Rounds as server-sent events: the same reply as over gRPC, and errors that say what is wrong.

use proto::verifier::{Generate, Speculation};
use serde_json::{Value, json};
use tests::tiny::Tiny;
use tokio::io::AsyncWriteExt as _;

use crate::{
    drafters::{Kind, Running},
    harness::{Process, eventually, load, patient, request, requests},
    web::{Answer, posted, posted_as},
};

const GENERATE: &str = "/duet/v1/generate";

/// The request as the endpoint takes it.
fn body(request: &Generate) -> Value {
    let sampling = request.sampling;
    let bias = request.logit_bias.iter();
    json!({
        "prompt": {"text": "let the fn = "},
        "max_tokens": request.max_tokens,
        "sampling": {"temperature": sampling.temperature, "top_p": sampling.top_p},
        "logit_bias": bias.map(|(id, bias)| (id.to_string(), json!(bias))).collect::<serde_json::Map<_, _>>(),
        "seed": request.seed,
        "speculation": if request.speculation == Speculation::Off {
            json!({"mode": "off"})
        } else {
            json!({"mode": "auto", "block_tokens": 8})
        },
    })
}

#[tokio::test]
async fn events_put_together_are_the_reply_that_grpc_gives() {
    let drafter = Running::start(Kind::Ahead).await;
    let process = Process::endless(&[&drafter.address]).await;
    for request in requests() {
        let whole = process.plain(&request).await;
        drafter.learn(&whole.text);
        for speculation in [Speculation::Off, request.speculation.clone()] {
            let request = Generate {
                speculation,
                ..request.clone()
            };
            let answer = process.post(GENERATE, &body(&request)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let mut events = answer.named_events();
            let (name, finish) = events.pop().expect("a last event");
            assert_eq!(name, "finish");
            assert_eq!(finish["reason"], "length");
            assert_eq!(
                finish["seed"],
                request.seed.map_or_else(String::new, |s| s.to_string())
            );
            assert_eq!(finish["usage"]["rounds"], events.len());
            let mut text = String::new();
            let mut spelled = String::new();
            for ((name, chunk), number) in events.iter().zip(1..) {
                assert_eq!(name, "chunk");
                for piece in chunk["pieces"].as_array().expect("pieces") {
                    text.push_str(piece["text"].as_str().expect("text"));
                }
                let round = &chunk["round"];
                assert_eq!(round["round"], number);
                spelled.push_str(&spells(round));
                check_groups(&round["detail"]);
            }
            assert_eq!(text, whole.text);
            assert_eq!(spelled, whole.text);
        }
    }
}

/// Text of the tokens that a round emitted, which is ASCII in these tests.
fn spells(round: &Value) -> String {
    let detail = &round["detail"];
    let accepted = round["accepted_tokens"].as_u64().expect("a count") as usize;
    let candidates = detail["candidates"].as_array().expect("candidates");
    let emitted = candidates[..accepted].iter().chain([&detail["chosen"]]);
    emitted.filter_map(|token| token["text"].as_str()).collect()
}

/// Checks that ranges follow each other from 0 and end with the last candidate.
fn check_groups(detail: &Value) {
    let candidates = detail["candidates"].as_array().expect("candidates").len();
    let groups = detail["groups"].as_array().expect("groups");
    let mut end = (json!(0), json!(0));
    for group in groups {
        assert_eq!(
            (&group["draft"][0], &group["candidates"][0]),
            (&end.0, &end.1)
        );
        end = (group["draft"][1].clone(), group["candidates"][1].clone());
    }
    assert_eq!(end.1, candidates, "{detail}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_in_the_shape_of_errors() {
    let process = Process::endless(&[]).await;
    let prompt = json!({"text": "x"});
    let cases = [
        (json!({}), "prompt is missing"),
        (
            json!({"prompt": prompt, "stream": true}),
            "\"stream\" is not a parameter",
        ),
        (json!({"prompt": prompt, "max_tokens": 1001}), "1 to 1000"),
        (
            json!({"prompt": prompt, "speculation": {"method": "typical"}}),
            "speculation.method",
        ),
    ];
    for (body, expected) in cases {
        let answer = process.post(GENERATE, &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let (_, _, message) = answer.error();
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let good = json!({"prompt": prompt, "max_tokens": 1}).to_string();
    assert_eq!(posted_of(&process, "text/plain", &good).await.status, 415);
    let with_parameter = "application/json; charset=utf-8";
    assert_eq!(posted_of(&process, with_parameter, &good).await.status, 200);
    let required = json!({"prompt": prompt, "speculation": {"mode": "required"}});
    assert_eq!(process.post(GENERATE, &required).await.status, 503);
    let large = " ".repeat(5 << 20);
    assert_eq!(
        posted_of(&process, "application/json", &large).await.status,
        413
    );
    assert_eq!(process.sessions().await, 0);
}

/// Answer to a body of this content type.
async fn posted_of(process: &Process, kind: &str, body: &str) -> Answer {
    let request = posted_as(kind, GENERATE, body.as_bytes());
    process.write(&request).await.expect("an answer")
}

#[tokio::test]
async fn client_that_leaves_frees_its_session() {
    let drafter = Running::start(Kind::NeverAnswers).await;
    // The engine is its own, so that no other test has sessions in it.
    let process = Process::start(load(&Tiny::default()), patient(&drafter.address)).await;
    let mut connection = process.connect().await;
    let request = posted(GENERATE, body(&request(0.8, 1)).to_string().as_bytes());
    connection.write_all(&request).await.expect("a request");
    eventually(|| async { process.sessions().await == 1 }).await;
    drop(connection);
    eventually(|| async { process.sessions().await == 0 }).await;
    eventually(|| async { process.metric("engine_sessions").await == 0 }).await;
}
