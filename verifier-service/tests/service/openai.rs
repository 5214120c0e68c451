//! The OpenAI-compatible API: the same text with speculation and without, whole and streamed, over HTTP and over gRPC.

use proto::{
    model::{Message, Prompt, Role},
    verifier::{DrafterState, Generate},
};
use serde_json::{Map, Value, json};
use tests::tiny::Tiny;
use tonic::{Code, Request};

use crate::{
    drafters::{Kind, Running},
    harness::{Process, endless, eventually, load, request, serving},
    web::Answer,
};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// What an answer says, however it came.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    choices: Vec<Choice>,
    prompt_tokens: u64,
    completion_tokens: u64,
    accepted: u64,
    rejected: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Choice {
    text: String,
    finish_reason: Option<String>,
    /// Tokens with their log probabilities, each with its alternatives.
    tokens: Vec<(Value, f64)>,
}

impl Said {
    fn whole(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let json = answer.json();
        let mut said = Self::default();
        said.take(&json);
        said.count(&json["usage"]);
        said
    }

    fn streamed(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let events = answer.events();
        let (last, chunks) = events.split_last().expect("events");
        let mut said = Self::default();
        for chunk in chunks {
            assert_eq!(chunk["id"], last["id"]);
            assert!(chunk.get("usage").is_some_and(Value::is_null), "{chunk}");
            said.take(chunk);
        }
        assert_eq!(last["choices"], json!([]));
        said.count(&last["usage"]);
        said
    }

    fn take(&mut self, json: &Value) {
        for choice in json["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("an index") as usize;
            self.choices
                .resize(self.choices.len().max(index + 1), Choice::default());
            let said = &mut self.choices[index];
            assert_eq!(said.finish_reason, None, "a chunk behind the end: {json}");
            for text in [
                &choice["text"],
                &choice["message"]["content"],
                &choice["delta"]["content"],
            ] {
                said.text.push_str(text.as_str().unwrap_or_default());
            }
            said.finish_reason = choice["finish_reason"].as_str().map(ToOwned::to_owned);
            said.tokens.extend(tokens(&choice["logprobs"]));
        }
    }

    fn count(&mut self, usage: &Value) {
        let number = |value: &Value| value.as_u64().expect("a number");
        let details = &usage["completion_tokens_details"];
        self.prompt_tokens = number(&usage["prompt_tokens"]);
        self.completion_tokens = number(&usage["completion_tokens"]);
        let total = self.prompt_tokens + self.completion_tokens;
        assert_eq!(number(&usage["total_tokens"]), total);
        self.accepted = number(&details["accepted_prediction_tokens"]);
        self.rejected = number(&details["rejected_prediction_tokens"]);
    }

    /// Equal in all that speculation must not change.
    fn assert_same(&self, other: &Self, case: &str) {
        assert_eq!(self.prompt_tokens, other.prompt_tokens, "{case}");
        assert_eq!(self.completion_tokens, other.completion_tokens, "{case}");
        assert_eq!(self.choices.len(), other.choices.len(), "{case}");
        for (one, other) in self.choices.iter().zip(&other.choices) {
            assert_eq!(one.text, other.text, "{case}");
            assert_eq!(one.finish_reason, other.finish_reason, "{case}");
            assert_eq!(one.tokens.len(), other.tokens.len(), "{case}");
            for ((token, logprob), (other, expected)) in one.tokens.iter().zip(&other.tokens) {
                assert_eq!(token, other, "{case}");
                assert!(
                    (logprob - expected).abs() <= 1e-4,
                    "{case}: {logprob}, {expected}"
                );
            }
        }
    }
}

/// Tokens and alternatives in the order in which they are told, in either shape.
fn tokens(logprobs: &Value) -> Vec<(Value, f64)> {
    let number = |value: &Value| value.as_f64().expect("a number");
    let mut all = Vec::new();
    if let Some(tokens) = logprobs["content"].as_array() {
        for token in tokens {
            all.push((token["bytes"].clone(), number(&token["logprob"])));
            for other in token["top_logprobs"].as_array().expect("alternatives") {
                all.push((other["token"].clone(), number(&other["logprob"])));
            }
        }
    }
    if let Some(tokens) = logprobs["tokens"].as_array() {
        for (index, token) in tokens.iter().enumerate() {
            let offset = &logprobs["text_offset"][index];
            let itself = number(&logprobs["token_logprobs"][index]);
            all.push((json!([token, offset]), itself));
            let others = logprobs["top_logprobs"][index].as_object();
            for (other, logprob) in others.expect("alternatives") {
                all.push((json!(other), number(logprob)));
            }
        }
    }
    all
}

/// Ids behind ASCII are ruled out: see `harness::request`.
fn biases(more: &[(u32, f32)]) -> Value {
    let ruled_out = (128..256).map(|id| (id, -100.0));
    let all = ruled_out.chain(more.iter().copied());
    let entries: Map<String, Value> = all
        .map(|(id, bias)| (id.to_string(), json!(bias)))
        .collect();
    entries.into()
}

/// A body with everything that keeps the answer short, the same and ASCII, and these parameters.
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
        // OpenAI's two endpoints ask for log probabilities each in its own way.
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

/// The same with these parameters, and without those that are null.
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

/// Parameters of the matrix, made with the text that comes without a stop string.
const CASES: [fn(&str) -> Value; 34] = [
    |_| json!({}),
    |_| json!({"temperature": 0.8}),
    |_| json!({"temperature": 1.3, "seed": 8}),
    |_| json!({"temperature": 0.8, "top_p": 0.5}),
    |_| json!({"temperature": 0.8, "top_k": 5}),
    |_| json!({"temperature": 0.8, "min_p": 0.1}),
    |_| json!({"temperature": 1.0, "top_k": 20, "top_p": 0.9, "min_p": 0.02}),
    |_| json!({"repetition_penalty": 1.3}),
    |_| json!({"frequency_penalty": 0.7}),
    |_| json!({"presence_penalty": 0.9}),
    |_| json!({"temperature": 0.9, "repetition_penalty": 1.2, "frequency_penalty": 0.4, "presence_penalty": -0.5}),
    |_| json!({"max_tokens": 1}),
    |_| json!({"max_tokens": 2, "temperature": 0.8}),
    |_| json!({"max_tokens": 17}),
    |_| json!({"max_tokens": 33, "temperature": 0.8}),
    |text| json!({"stop": &text[5..6]}),
    |text| json!({"stop": [&text[9..14]]}),
    |text| json!({"stop": ["\u{1f980}", &text[12..19], &text[20..21], "never"]}),
    |text| json!({"temperature": 0.8, "stop": [&text[3..5]]}),
    |_| json!({"stop": "never comes"}),
    |text| json!({"stop": &text[..1]}),
    |_| json!({"logprobs": 0}),
    |_| json!({"logprobs": 5}),
    |_| json!({"logprobs": 3, "temperature": 0.8}),
    |_| json!({"logprobs": 2, "repetition_penalty": 1.3, "frequency_penalty": 0.5}),
    |text| json!({"logprobs": 1, "stop": [&text[9..14]]}),
    |_| json!({"logprobs": 2, "n": 2, "temperature": 0.8}),
    |_| json!({"n": 3, "temperature": 0.8, "seed": 0}),
    |_| json!({"logit_bias": biases(&[(97, 5.0), (65, -100.0)])}),
    |_| json!({"logit_bias": biases(&[(97, 2.5)]), "temperature": 0.8, "logprobs": 1}),
    |_| json!({"temperature": 0.8, "seed": -1}),
    |_| json!({"temperature": 0.8, "seed": u64::MAX}),
    |_| json!({"temperature": 0.8, "speculation": {"block_length": 1, "method": "coupled"}}),
    |_| json!({"speculation": {"block_length": 3, "mode": "auto"}, "user": "someone", "n": 1}),
];

/// The answer as a drafter would have it that is wrong now and then.
fn flawed(text: &str) -> String {
    let flaw = |(at, byte): (usize, char)| if at % 11 == 7 { '#' } else { byte };
    text.chars().enumerate().map(flaw).collect()
}

/// Every case at one endpoint: whole and streamed, with speculation and without. Gives how much was accepted and rejected.
async fn matrix(process: &Process, drafter: &Running, path: &str) -> (u64, u64) {
    let mut judged = (0, 0);
    let off = json!({"speculation": {"mode": "off"}});
    let streamed = json!({"stream": true, "stream_options": {"include_usage": true}});
    for (number, case) in CASES.into_iter().enumerate() {
        let case = |text: &str| body(path, case(text));
        // As long as the longest stop string of the cases reaches.
        let placeholder = "x".repeat(40);
        let unstopped = with(
            case(&placeholder),
            &json!({"stop": null, "max_tokens": 40, "logprobs": null, "top_logprobs": null, "n": 1}),
        );
        let unstopped = Said::whole(&process.post(path, &with(unstopped, &off)).await);
        let text = &unstopped.choices[0].text;
        drafter.learn(&flawed(text));
        let asked = case(text);
        let name = format!("{path} {number} {asked}");
        let plain = Said::whole(&process.post(path, &with(asked.clone(), &off)).await);
        let plain_streamed = with(with(asked.clone(), &off), &streamed);
        let plain_streamed = Said::streamed(&process.post(path, &plain_streamed).await);
        let helped = Said::whole(&process.post(path, &asked).await);
        let helped_streamed = process.post(path, &with(asked.clone(), &streamed)).await;
        let helped_streamed = Said::streamed(&helped_streamed);
        assert_eq!((plain.accepted, plain.rejected), (0, 0), "{name}");
        for other in [&plain_streamed, &helped, &helped_streamed] {
            other.assert_same(&plain, &name);
        }
        check(&plain, &asked, &name);
        judged.0 += helped.accepted + helped_streamed.accepted;
        judged.1 += helped.rejected + helped_streamed.rejected;
    }
    judged
}

/// What must hold of an answer whatever its text is.
fn check(said: &Said, asked: &Value, case: &str) {
    let most = asked["max_tokens"].as_u64().expect("a limit");
    let choices = asked["n"].as_u64().unwrap_or(1);
    assert_eq!(said.choices.len() as u64, choices, "{case}");
    assert!(said.completion_tokens <= most * choices, "{case}");
    for choice in &said.choices {
        let expected = if said.completion_tokens == most * choices {
            "length"
        } else {
            "stop"
        };
        if asked["stop"].is_null() {
            assert_eq!(choice.finish_reason.as_deref(), Some(expected), "{case}");
        }
        if let Some(stop) = asked["stop"].as_str() {
            assert!(!choice.text.contains(stop), "{case}");
        }
    }
    let alternatives = asked["top_logprobs"]
        .as_u64()
        .or(asked["logprobs"].as_u64());
    if let Some(alternatives) = alternatives {
        let told: usize = said.choices.iter().map(|choice| choice.tokens.len()).sum();
        let each = 1 + alternatives;
        if asked["stop"].is_null() {
            assert_eq!(told as u64, said.completion_tokens * each, "{case}");
        } else {
            assert!(
                told as u64 <= said.completion_tokens * each && told > 0,
                "{case}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_chat_is_the_same_with_and_without_speculation_whole_and_streamed() {
    let drafter = Running::start(Kind::Ahead).await;
    let process = Process::endless(&[&drafter.address]).await;
    let (accepted, rejected) = matrix(&process, &drafter, CHAT).await;
    assert!(accepted > 500 && rejected > 200, "{accepted}, {rejected}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_completion_is_the_same_with_and_without_speculation_whole_and_streamed() {
    let drafter = Running::start(Kind::Ahead).await;
    let process = Process::endless(&[&drafter.address]).await;
    let (accepted, rejected) = matrix(&process, &drafter, COMPLETIONS).await;
    assert!(accepted > 500 && rejected > 200, "{accepted}, {rejected}");
}

#[tokio::test]
async fn http_and_grpc_give_the_same_text_and_count_the_same() {
    let process = Process::endless(&[]).await;
    for temperature in [0.0, 0.8] {
        let grpc = Generate {
            prompt: Prompt::Conversation(vec![
                Message {
                    role: Role::System,
                    content: "be the fn".to_owned(),
                },
                Message {
                    role: Role::User,
                    content: "let a = b".to_owned(),
                },
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
        let told = whole.chunks.iter().flat_map(|chunk| &chunk.tokens);
        let told: Vec<f64> = told
            .flat_map(|token| std::iter::once(&token.token).chain(&token.top))
            .map(|token| f64::from(token.logprob))
            .collect();
        let tokens: Vec<f64> = said.choices[0]
            .tokens
            .iter()
            .map(|(_, logprob)| *logprob)
            .collect();
        assert_eq!(tokens.len(), told.len());
        assert!(
            tokens
                .iter()
                .zip(&told)
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
async fn text_that_falls_apart_inside_code_points_is_the_same_in_chunks_and_whole() {
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
async fn answer_carries_the_id_that_its_request_came_with() {
    let process = Process::start(endless(), serving(&[])).await;
    let body = body(COMPLETIONS, json!({"max_tokens": 1})).to_string();
    let request = |id: &str| {
        format!(
            "POST {COMPLETIONS} HTTP/1.1\r\nhost: duet\r\nconnection: close\r\nx-request-id: {id}\r\n\
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
