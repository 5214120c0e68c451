//! Answers of the OpenAI-compatible API, which are the same over HTTP as over gRPC.

mod matrix;
mod said;

use proto::{
    model::{Message, Prompt, Role},
    verifier::{DrafterState, Generate},
};
use serde_json::{Map, Value, json};
use tests::tiny::Tiny;
use tonic::{Code, Request};

use self::said::Said;
use crate::{
    drafters::{Kind, Running},
    harness::{Process, endless, eventually, load, request, serving},
    web::{CHAT, COMPLETIONS},
};

/// Biases that rule out ids above ASCII: see `harness::request`.
fn biases(more: &[(u32, f32)]) -> Value {
    let ruled_out = (128..256).map(|id| (id, -100.0));
    let all = ruled_out.chain(more.iter().copied());
    let entries: Map<String, Value> = all
        .map(|(id, bias)| (id.to_string(), json!(bias)))
        .collect();
    entries.into()
}

/// A body with `parameters` and those that keep the answer short, repeatable and ASCII.
fn body(path: &str, parameters: Value) -> Value {
    let mut body = json!({
        "model": "tiny",
        "max_tokens": 40,
        "temperature": 0,
        "seed": 7,
        "logit_bias": biases(&[]),
        "speculation": {"block_length": 6},
    });
    let prompt = if path == CHAT {
        (
            "messages",
            json!([{"role": "user", "content": "let the fn = "}]),
        )
    } else {
        ("prompt", json!("let the fn = "))
    };
    let body_fields = body.as_object_mut().expect("an object");
    body_fields.insert(prompt.0.to_owned(), prompt.1);
    let Value::Object(parameters) = parameters else {
        panic!("no object: {parameters}")
    };
    for (name, value) in parameters {
        // Each of OpenAI's two endpoints has its own parameters for log probabilities.
        match (path, name.as_str(), value.as_u64()) {
            (CHAT, "logprobs", Some(count)) => {
                body_fields.insert("logprobs".to_owned(), json!(true));
                body_fields.insert("top_logprobs".to_owned(), json!(count));
            }
            _ => drop(body_fields.insert(name, value)),
        }
    }
    body
}

/// The same body with `parameters`, and without those of them that are null.
fn with(mut body: Value, parameters: &Value) -> Value {
    let fields = body.as_object_mut().expect("an object");
    for (name, value) in parameters.as_object().expect("an object") {
        match value {
            Value::Null => drop(fields.remove(name)),
            value => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    body
}

#[tokio::test]
async fn http_and_grpc_give_the_same_text_and_count_the_same() {
    let process = Process::endless(&[]).await;
    for temperature in [0.0, 0.8] {
        let grpc = Generate {
            prompt: Prompt::chat(vec![
                Message::new(Role::System, "be the fn".to_owned()),
                Message::new(Role::User, "let a = b".to_owned()),
            ]),
            top_logprobs: Some(2),
            ..request(temperature, 7)
        };
        let whole = process.plain(&grpc).await;
        let body = json!({
            "model": "tiny",
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "be the"}, {"type": "text", "text": " fn"}]},
                {"role": "user", "content": "let a = b"},
            ],
            "max_completion_tokens": 60, "temperature": temperature, "top_p": 0.95, "seed": 7,
            "logit_bias": biases(&[]), "logprobs": true, "top_logprobs": 2,
        });
        let answer = process.post(CHAT, &body).await;
        let said = Said::whole(&answer);
        assert_eq!(said.choices[0].text, whole.text);
        assert_eq!(
            said.completion_tokens,
            u64::from(whole.finish.usage.completion_tokens)
        );
        assert_eq!(
            said.prompt_tokens,
            u64::from(whole.finish.usage.prompt_tokens)
        );
        let sent = whole.chunks.iter().flat_map(|chunk| &chunk.tokens);
        let sent: Vec<f64> = sent
            .flat_map(|token| std::iter::once(&token.token).chain(&token.top))
            .map(|token| f64::from(token.logprob))
            .collect();
        let tokens: Vec<f64> = said.choices[0]
            .tokens
            .iter()
            .map(|(_, logprob)| *logprob)
            .collect();
        assert_eq!(tokens.len(), sent.len());
        assert!(
            tokens
                .iter()
                .zip(&sent)
                .all(|(one, other)| (one - other).abs() < 1e-5)
        );
        let fingerprint = answer.json()["system_fingerprint"]
            .as_str()
            .map(ToOwned::to_owned);
        let fingerprint = fingerprint.expect("a fingerprint");
        assert!(
            fingerprint.starts_with("tiny_") && fingerprint.ends_with(env!("CARGO_PKG_VERSION"))
        );
    }
}

#[tokio::test]
async fn greedy_token_is_the_likeliest_and_its_text_adds_up() {
    let process = Process::endless(&[]).await;
    let answer = process
        .post(CHAT, &body(CHAT, json!({"logprobs": 4})))
        .await;
    let json = answer.json();
    let choice = &json["choices"][0];
    let tokens = choice["logprobs"]["content"].as_array().expect("tokens");
    let mut text = Vec::new();
    for token in tokens {
        let top = token["top_logprobs"].as_array().expect("alternatives");
        assert_eq!(token["logprob"], top[0]["logprob"]);
        assert_eq!(token["bytes"], top[0]["bytes"]);
        let falling = top
            .windows(2)
            .all(|pair| pair[0]["logprob"].as_f64() >= pair[1]["logprob"].as_f64());
        assert!(falling, "{token}");
        let bytes = token["bytes"].as_array().expect("bytes");
        text.extend(
            bytes
                .iter()
                .map(|byte| byte.as_u64().expect("a byte") as u8),
        );
        let mass: f64 = top
            .iter()
            .map(|t| t["logprob"].as_f64().expect("a number").exp())
            .sum();
        assert!(mass <= 1.0 + 1e-5, "{mass}");
    }
    assert_eq!(
        choice["message"]["content"].as_str().map(str::as_bytes),
        Some(&text[..])
    );
}

#[tokio::test]
async fn choices_have_the_seeds_that_follow() {
    let process = Process::endless(&[]).await;
    let asked = |seed: u64, n: u32| {
        body(
            COMPLETIONS,
            json!({"temperature": 0.9, "seed": seed, "n": n}),
        )
    };
    let all = Said::whole(&process.post(COMPLETIONS, &asked(20, 3)).await);
    let mut alone = Vec::new();
    for seed in 20..23 {
        let said = Said::whole(&process.post(COMPLETIONS, &asked(seed, 1)).await);
        assert_eq!(
            said.prompt_tokens, all.prompt_tokens,
            "the prompt counts once"
        );
        alone.extend(said.choices);
    }
    assert_eq!(all.choices, alone);
}

#[tokio::test]
async fn several_prompts_are_answered_at_once() {
    let process = Process::endless(&[]).await;
    let prompts = ["let the fn = ", "the a or b"];
    let asked = body(
        COMPLETIONS,
        json!({"prompt": prompts, "n": 2, "temperature": 0.9}),
    );
    let all = Said::whole(&process.post(COMPLETIONS, &asked).await);
    let (mut alone, mut prompt_tokens) = (Vec::new(), 0);
    for prompt in prompts {
        let asked = body(
            COMPLETIONS,
            json!({"prompt": prompt, "n": 2, "temperature": 0.9}),
        );
        let said = Said::whole(&process.post(COMPLETIONS, &asked).await);
        alone.extend(said.choices);
        prompt_tokens += said.prompt_tokens;
    }
    assert_eq!(all.choices, alone);
    assert_eq!(all.prompt_tokens, prompt_tokens);
}

#[tokio::test]
async fn prompt_that_was_read_before_is_reported_as_cached() {
    // The engine is its own: no other test's prompts are in its cache.
    let process = Process::start(load(&Tiny::default()), serving(&[])).await;
    let read = "let the fn = ".repeat(20);
    let cached = async |body: &Value| {
        let answer = process.post(COMPLETIONS, body).await;
        let said = Said::whole(&answer);
        let cached = &answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"];
        (said, cached.as_u64().expect("a count"))
    };
    let (new, none) = cached(&body(COMPLETIONS, json!({"prompt": read}))).await;
    assert_eq!(none, 0);
    let (again, all) = cached(&body(COMPLETIONS, json!({"prompt": read}))).await;
    again.assert_same(&new, "read again");
    // The last token goes with the first round, and the cache keeps whole blocks.
    assert!(
        all < new.prompt_tokens && all + 64 > new.prompt_tokens,
        "{all} of {new:?}"
    );
    let longer = format!("{read}{}", "or a".repeat(40));
    let (longer, begun) = cached(&body(COMPLETIONS, json!({"prompt": longer, "n": 2}))).await;
    assert!(longer.prompt_tokens > new.prompt_tokens + 30, "{longer:?}");
    assert!(
        begun > 0 && begun <= new.prompt_tokens,
        "{begun}: once for both choices"
    );
    let other = json!({"prompt": format!("or {read}")});
    assert_eq!(cached(&body(COMPLETIONS, other)).await.1, 0);
}

#[tokio::test]
async fn text_cut_inside_code_points_is_the_same_in_chunks_and_whole() {
    let tiny = Tiny {
        foreign_bytes: 0.3,
        ..Tiny::default()
    };
    let process = Process::start(load(&tiny), serving(&[])).await;
    let streamed = json!({"stream": true, "stream_options": {"include_usage": true}});
    for seed in 0..6 {
        let asked = json!({
            "model": "tiny", "prompt": "é = ", "max_tokens": 60, "seed": seed, "logprobs": 2,
        });
        let whole = Said::whole(&process.post(COMPLETIONS, &asked).await);
        let parts = Said::streamed(&process.post(COMPLETIONS, &with(asked, &streamed)).await);
        assert_eq!(parts, whole);
        assert!(!whole.choices[0].text.is_ascii());
    }
}

#[tokio::test]
async fn end_of_a_turn_is_no_text_and_no_token() {
    let tiny = Tiny {
        ends: 0.6,
        ..Tiny::default()
    };
    let process = Process::start(load(&tiny), serving(&[])).await;
    let asked = body(
        CHAT,
        json!({"temperature": 1, "logprobs": 0, "max_tokens": 300}),
    );
    let said = Said::whole(&process.post(CHAT, &asked).await);
    let choice = &said.choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("stop"));
    assert_eq!(choice.tokens.len() as u64, said.completion_tokens);
    assert!(said.completion_tokens < 300);
    assert!(!choice.text.contains("<|"), "{}", choice.text);
}

#[tokio::test]
async fn models_are_listed_and_found_by_name() {
    let process = Process::endless(&[]).await;
    let list = process.get("/v1/models").await;
    assert_eq!(list.status, 200);
    let model = &list.json()["data"][0];
    assert_eq!(
        (&model["id"], &model["object"]),
        (&json!("tiny"), &json!("model"))
    );
    assert_eq!(process.get("/v1/models/tiny").await.json(), *model);
    let other = process.get("/v1/models/a%2Fb").await;
    assert_eq!(other.status, 404);
    assert_eq!(other.error().1.as_deref(), Some("model_not_found"));
}

#[tokio::test]
async fn required_drafter_must_be_in_use_when_the_request_begins() {
    let process = Process::endless(&[]).await;
    let required = json!({"speculation": {"mode": "required", "block_length": 4}});
    let refused = process.post(CHAT, &body(CHAT, required.clone())).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.error().1.as_deref(), Some("no_drafter"));
    let grpc = Generate {
        requires_drafter: true,
        ..request(0.0, 0)
    };
    assert_eq!(process.refused(&grpc).await.code(), Code::Unavailable);

    let drafter = Running::start(Kind::Ahead).await;
    let process = Process::endless(&[&drafter.address]).await;
    eventually(|| async {
        let described = process.client.clone().describe(Request::new(())).await;
        described.expect("a description").drafters[0].state == DrafterState::Ready
    })
    .await;
    let said = Said::whole(&process.post(CHAT, &body(CHAT, required)).await);
    assert_eq!(said.completion_tokens, 40);
    process.generate(&grpc).await;
}

#[tokio::test]
async fn answer_has_the_id_of_its_request() {
    let process = Process::start(endless(), serving(&[])).await;
    let body = body(COMPLETIONS, json!({"max_tokens": 1})).to_string();
    let request = |id: &str| {
        format!(
            "POST {COMPLETIONS} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: {id}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = process
        .write(request("my-7").as_bytes())
        .await
        .expect("an answer");
    assert_eq!(answer.header("x-request-id"), Some("my-7"));
    assert_eq!(answer.json()["id"], "cmpl-my-7");
    let long = process
        .write(request(&"x".repeat(129)).as_bytes())
        .await
        .expect("an answer");
    assert_eq!(long.status, 400);
    assert_eq!(long.error().0.as_deref(), Some("x-request-id"));
}
