//! Hostile clients of the HTTP port, and clients that leave: errors name the fault, sessions end.

use std::time::Duration;

use chassis::lifecycle::Drained;
use serde_json::{Value, json};
use tests::tiny::Tiny;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};
use verifier_service::config::Serving;

use crate::{
    drafters::{Kind, Running},
    harness::{Process, endless, eventually, load, patient, places, serving},
    web::{Answer, CHAT, COMPLETIONS, posted, posted_as},
};

pub(crate) fn chat(parameters: &Value) -> Value {
    let messages = json!([{"role": "user", "content": "let"}]);
    merged(
        json!({"model": "tiny", "messages": messages, "max_tokens": 3}),
        parameters,
    )
}

fn completion(parameters: &Value) -> Value {
    merged(
        json!({"model": "tiny", "prompt": "let", "max_tokens": 3}),
        parameters,
    )
}

pub(crate) fn merged(mut body: Value, parameters: &Value) -> Value {
    for (name, value) in parameters.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// Checks that the process serves as before and has no session left.
async fn assert_unharmed(process: &Process) {
    let answer = process.post(CHAT, &chat(&json!({}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(process.sessions().await, 0);
}

/// Bad chats: the parameter that the error must name, and the parameters sent.
const NO_CHATS: &str = r#"
temperature {"temperature": "hot"}
temperature {"temperature": 2.5}
temperature {"temperature": -0.1}
top_p {"top_p": 0}
top_k {"top_k": 1.5}
top_k {"top_k": -2}
max_tokens {"max_tokens": 1e10}
ignore_eos {"ignore_eos": 1}
skip_special_tokens {"skip_special_tokens": "no"}
tool_choice {"tool_choice": "required"}
min_p {"min_p": 1}
max_tokens {"max_tokens": 0}
max_completion_tokens {"max_tokens": null, "max_completion_tokens": 0}
seed {"seed": 1.5}
seed {"seed": "7"}
stop {"stop": 7}
stop {"stop": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]}
stop[1] {"stop": ["a", 7]}
n {"n": 0}
n {"n": 17}
logprobs {"logprobs": 2}
top_logprobs {"top_logprobs": 2}
top_logprobs {"logprobs": true, "top_logprobs": 21}
logit_bias {"logit_bias": [1]}
logit_bias {"logit_bias": {"let": 1}}
logit_bias {"logit_bias": {"99999": 1}}
logit_bias[7] {"logit_bias": {"7": 101}}
logit_bias[7] {"logit_bias": {"7": "much"}}
frequency_penalty {"frequency_penalty": 2.1}
presence_penalty {"presence_penalty": -2.1}
repetition_penalty {"repetition_penalty": 0}
stream {"stream": "yes"}
stream_options.include_usage {"stream": true, "stream_options": {"include_usage": 1}}
speculation {"speculation": "off"}
speculation.mode {"speculation": {"mode": "on"}}
speculation.method {"speculation": {"method": "typical"}}
speculation.block_length {"speculation": {"block_length": 0}}
speculation.block_length {"speculation": {"block_length": 17}}
speculation.allow_lossy {"speculation": {"method": "token_timing"}}
speculation.depth {"speculation": {"depth": 1}}
messages {"messages": null}
messages {"messages": "let"}
messages {"messages": []}
messages[0] {"messages": ["let"]}
messages[0].role {"messages": [{"content": "let"}]}
messages[0].role {"messages": [{"role": "robot", "content": "let"}]}
messages[0].content {"messages": [{"role": "user"}]}
messages[0].content {"messages": [{"role": "user", "content": 7}]}
messages[0].content[0].type {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
messages[0].tool_calls[0].function.name {"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}
tools[0].function {"tools": [{"type": "function"}]}
functions {"functions": [{}]}
response_format.json_schema.schema {"response_format": {"type": "json_schema", "json_schema": {}}}
audio {"audio": {"voice": "a", "format": "mp3"}}
modalities {"modalities": ["text", "audio"]}
echo {"echo": true}
model {"model": 7}
"#;

/// The same for completions.
const NO_COMPLETIONS: &str = r#"
prompt {"prompt": null}
prompt[1] {"prompt": [1, "x"]}
prompt {"prompt": []}
prompt {"prompt": ""}
n {"prompt": ["a", "b", "c"], "n": 6}
logprobs {"logprobs": 21}
logprobs {"logprobs": true}
suffix {"suffix": "x"}
best_of {"best_of": 2}
"#;

fn cases(table: &str) -> impl Iterator<Item = (&str, Value)> {
    let lines = table.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(param, body)| (param, serde_json::from_str(body).expect("JSON")))
}

pub(crate) async fn assert_refused(process: &Process, path: &str, body: &Value, param: &str) {
    let answer = process.post(path, body).await;
    assert_eq!(answer.status, 400, "{body}: {answer:?}");
    let (named, _, message) = answer.error();
    assert_eq!(named.as_deref(), Some(param), "{body}: {message}");
    let first = param.split('[').next().expect("a name");
    assert!(message.contains(first), "{message}");
}

#[tokio::test]
async fn bad_parameter_of_a_chat_is_refused_by_name() {
    let process = Process::endless(&[]).await;
    for (param, parameters) in cases(NO_CHATS) {
        assert_refused(&process, CHAT, &chat(&parameters), param).await;
    }
    let long = chat(&json!({"stop": "x".repeat(257)}));
    assert_refused(&process, CHAT, &long, "stop[0]").await;
    let other = process.post(CHAT, &chat(&json!({"model": "gpt-4o"}))).await;
    assert_eq!(
        (other.status, other.error().0.as_deref()),
        (404, Some("model"))
    );
    assert_unharmed(&process).await;
}

#[tokio::test]
async fn bad_parameter_of_a_completion_is_refused_by_name() {
    let process = Process::endless(&[]).await;
    for (param, parameters) in cases(NO_COMPLETIONS) {
        assert_refused(&process, COMPLETIONS, &completion(&parameters), param).await;
    }
    for prompt in [json!("x".repeat(4000)), json!(vec!["x"; 17])] {
        let body = completion(&json!({"prompt": prompt}));
        assert_refused(&process, COMPLETIONS, &body, "prompt").await;
    }
    assert_unharmed(&process).await;
}

#[tokio::test]
async fn malformed_bodies_get_an_error_at_once() {
    let process = Process::endless(&[]).await;
    let large = format!("{{\"prompt\": \"{}\"}}", "x".repeat(10 << 20));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let nested = "{\"logit_bias\":".repeat(100_000);
    let cases: [(&[u8], u16); 9] = [
        (large.as_bytes(), 413),
        (deep.as_bytes(), 400),
        (nested.as_bytes(), 400),
        (b"{\"model\": \"\xff\xfe\"}", 400),
        (b"{\"model\": \"\\ud800\"}", 400),
        (b"", 400),
        (b"null", 400),
        (b"{\"model\": 1e999}", 400),
        (b"{\"model\": \"tiny\"", 400),
    ];
    for (body, status) in cases {
        let answer = process.write(&posted(CHAT, body)).await.expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
        answer.error();
    }
    let plain = posted_as("text/plain", COMPLETIONS, b"{}");
    let answer = process.write(&plain).await.expect("an answer");
    assert_eq!(answer.status, 415);
    answer.error();
    assert_unharmed(&process).await;
}

#[tokio::test]
async fn body_in_chunks_is_limited_as_it_arrives() {
    let process = Process::endless(&[]).await;
    let head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
    let request = head.to_owned() + &chunk.repeat(65) + "0\r\n\r\n";
    let answer = process.write(request.as_bytes()).await.expect("an answer");
    assert_eq!(answer.status, 413);
    assert_unharmed(&process).await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served_are_refused_in_the_same_shape() {
    let process = Process::endless(&[]).await;
    for path in [
        "/v1",
        "/v1/chat",
        "/v1/embeddings",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/../../x",
        "/v1/models/%ff",
        "/%ff%fe",
    ] {
        let answer = process.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.error();
    }
    let answer = process.get(CHAT).await;
    assert_eq!(
        (answer.status, answer.error().1.as_deref()),
        (405, Some("method_not_supported"))
    );
    let answer = process.post("/v1/models", &json!({})).await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn bytes_that_are_not_http_do_no_harm() {
    let process = Process::endless(&[]).await;
    let headers = "x: y\r\n".repeat(10_000);
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nGET".to_vec(),
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0xff; 64]].concat(),
        vec![0; 1 << 20],
        format!("GET /v1/models HTTP/1.1\r\n{headers}\r\n").into_bytes(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
        b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999999999999999\r\n\r\n".to_vec(),
    ] {
        if let Some(answer) = process.write(&bytes).await {
            assert!((400..=431).contains(&answer.status), "{answer:?}");
        }
    }
    // The client leaves after half a body.
    for body in ["{", "{\"model\": \"tiny\", "] {
        let mut request = posted(CHAT, &[b' '; 1000]);
        request.truncate(request.len() - 1000);
        request.extend(body.bytes());
        let mut stream = process.connect().await;
        stream.write_all(&request).await.expect("a request");
    }
    assert_unharmed(&process).await;
}

#[tokio::test]
async fn client_that_leaves_frees_its_sessions_streamed_or_not() {
    let drafter = Running::start(Kind::NeverAnswers).await;
    // The engine is its own, so that no other test has sessions in it.
    let process = Process::start(load(&Tiny::default()), patient(&drafter.address)).await;
    for stream in [false, true] {
        let body = chat(&json!({"stream": stream, "n": 3, "speculation": {"block_length": 4}}));
        let mut connection = process.connect().await;
        let request = posted(CHAT, body.to_string().as_bytes());
        connection.write_all(&request).await.expect("a request");
        eventually(|| async { process.sessions().await == 3 }).await;
        drop(connection);
        eventually(|| async { process.sessions().await == 0 }).await;
        eventually(|| async { process.metric("engine_sessions").await == 0 }).await;
    }
}

#[tokio::test]
async fn full_server_says_when_to_come_back_and_begins_none_of_several_choices() {
    let drafter = Running::start(Kind::NeverAnswers).await;
    let serving = Serving {
        admission: places(2),
        ..patient(&drafter.address)
    };
    let process = Process::start(endless(), serving).await;
    let mut first = process.connect().await;
    let body = chat(&json!({"speculation": {"block_length": 4}})).to_string();
    first
        .write_all(&posted(CHAT, body.as_bytes()))
        .await
        .expect("a request");
    eventually(|| async { process.sessions().await == 1 }).await;
    let answer = process.post(CHAT, &chat(&json!({"n": 2}))).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.error().1.as_deref(), Some("rate_limit_exceeded"));
    let retry = answer.header("retry-after").expect("seconds");
    assert!(retry.parse::<u64>().expect("a number") >= 1);
    assert_eq!(process.sessions().await, 1);
}

#[tokio::test]
async fn answer_that_is_cut_off_is_an_error_and_never_looks_complete() {
    for stream in [false, true] {
        let drafter = Running::start(Kind::NeverAnswers).await;
        let serving = Serving {
            grace_period: Duration::ZERO,
            ..patient(&drafter.address)
        };
        let mut process = Process::start(endless(), serving).await;
        let body = chat(&json!({"stream": stream, "speculation": {"block_length": 4}})).to_string();
        let mut connection = process.connect().await;
        let request = posted(CHAT, body.as_bytes());
        connection.write_all(&request).await.expect("a request");
        eventually(|| async { process.sessions().await == 1 }).await;
        drop(process.stop.take());
        let answer = Answer::read(&mut connection).await.expect("an answer");
        if stream {
            let events = answer.all_events();
            let last: Value = serde_json::from_str(events.last().expect("an event")).expect("JSON");
            assert_eq!(last["error"]["code"], "stopping", "{last}");
        } else {
            assert_eq!(answer.status, 503);
            assert_eq!(answer.error().1.as_deref(), Some("stopping"));
        }
        assert!(matches!(process.end().await, Drained::CutOff { .. }));
    }
}

/// A hash in place of a random number.
fn chance(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// Observation of one of many clients.
#[derive(Debug, Eq, PartialEq)]
enum Seen {
    Text(String),
    Refused,
    Left,
}

/// A client. With an even number it leaves after some bytes, with an odd one it reads the answer.
async fn client(process: &Process, number: u64) -> Seen {
    let stream = chance(number).is_multiple_of(2);
    let body = completion(&json!({
        "max_tokens": 30, "temperature": 0.8, "seed": number % 8, "stream": stream, "speculation": {"block_length": 4},
    }));
    let request = posted(COMPLETIONS, body.to_string().as_bytes());
    let mut connection = process.connect().await;
    if number.is_multiple_of(2) {
        let heard = chance(number + 1000) % 4000;
        connection.write_all(&request).await.expect("a request");
        let _ = (&mut connection)
            .take(heard)
            .read_to_end(&mut Vec::new())
            .await;
        return Seen::Left;
    }
    connection.write_all(&request).await.expect("a request");
    let answer = Answer::read(&mut connection).await.expect("an answer");
    if answer.status == 429 {
        answer.header("retry-after").expect("seconds");
        return Seen::Refused;
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    let parts = if stream {
        answer.events()
    } else {
        vec![answer.json()]
    };
    let texts = parts
        .iter()
        .filter_map(|part| part["choices"][0]["text"].as_str());
    Seen::Text(texts.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_of_which_half_leave_get_right_answers_and_leave_no_session() {
    let drafter = Running::start(Kind::Honest).await;
    let process = Process::start(load(&Tiny::default()), serving(&[&drafter.address])).await;
    let process = std::sync::Arc::new(process);
    let mut expected = Vec::new();
    for seed in 0..8 {
        let body = completion(
            &json!({"max_tokens": 30, "temperature": 0.8, "seed": seed, "speculation": {"mode": "off"}}),
        );
        let text = process.post(COMPLETIONS, &body).await.json()["choices"][0]["text"].clone();
        expected.push(text.as_str().expect("a text").to_owned());
    }
    drafter.learn(&expected[1]);
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let process = std::sync::Arc::clone(&process);
        clients.spawn(async move { (number, client(&process, number).await) });
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(ended) = clients.join_next().await {
        match ended.expect("no panic") {
            (number, Seen::Text(text)) => {
                assert_eq!(text, expected[(number % 8) as usize], "client {number}");
                answered += 1;
            }
            (_, Seen::Refused) => refused += 1,
            (_, Seen::Left) => {}
        }
    }
    assert_eq!(answered + refused, 100);
    assert!(answered > 0);
    eventually(|| async { process.sessions().await == 0 }).await;
    eventually(|| async { process.metric("engine_sessions").await == 0 }).await;
    let process = std::sync::Arc::into_inner(process).expect("no client is left");
    // No task is left to wait for.
    assert_eq!(process.end().await, Drained::Finished);
}
