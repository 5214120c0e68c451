//! The endpoint that tells of rounds as server-sent events: the same reply as over gRPC, and errors that say what would be right.

use proto::verifier::{Generate, Speculation};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    drafters::{Kind, Running},
    harness::{Process, eventually, request, requests},
};

/// What a POST of `body` is answered with: status, then the body without its transfer coding.
async fn post(process: &Process, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = send(process, headers, body).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head[9..12].parse().expect("a status");
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked {
        joined(body)
    } else {
        body.to_owned()
    };
    (status, body)
}

async fn send(process: &Process, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&process.http).await.expect("the port");
    let head = format!(
        "POST /duet/v1/generate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    // A request that is refused by its size is not read to its end.
    drop(stream.write_all(&request).await);
    stream
}

/// A body in chunks as one.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        body.push_str(&rest[..size]);
        chunks = &rest[size + 2..];
    }
    body
}

/// Name and data of each event.
fn events(body: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let name = event
            .lines()
            .find_map(|line| line.strip_prefix("event: "))?;
        let data = event.lines().find_map(|line| line.strip_prefix("data: "))?;
        let data = serde_json::from_str(data).expect("JSON");
        Some((name.to_owned(), data))
    };
    body.split("\n\n").filter_map(event).collect()
}

const JSON: &str = "content-type: application/json; charset=utf-8\r\n";

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
            let body = body(&request).to_string();
            let (status, body) = post(&process, JSON, body.as_bytes()).await;
            assert_eq!(status, 200, "{body}");
            let mut events = events(&body);
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

/// What the tokens that a round emitted spell; the text of the tests is ASCII.
fn spells(round: &Value) -> String {
    let detail = &round["detail"];
    let accepted = round["accepted_tokens"].as_u64().expect("a count") as usize;
    let proxies = detail["proxies"].as_array().expect("proxies");
    let emitted = proxies[..accepted].iter().chain([&detail["chosen"]]);
    emitted.filter_map(|token| token["text"].as_str()).collect()
}

/// Ranges follow each other from 0 and end with the last proxy.
fn check_groups(detail: &Value) {
    let proxies = detail["proxies"].as_array().expect("proxies").len();
    let groups = detail["groups"].as_array().expect("groups");
    let mut end = (json!(0), json!(0));
    for group in groups {
        assert_eq!((&group["draft"][0], &group["proxies"][0]), (&end.0, &end.1));
        end = (group["draft"][1].clone(), group["proxies"][1].clone());
    }
    assert_eq!(end.1, proxies, "{detail}");
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
        (
            json!({"prompt": prompt, "max_tokens": 0}),
            "max_tokens is 0",
        ),
        (json!({"prompt": prompt, "max_tokens": 1001}), "1 to 1000"),
        (
            json!({"prompt": prompt, "speculation": {"method": "typical"}}),
            "speculation.method",
        ),
    ];
    for (body, expected) in cases {
        let (status, answer) = post(&process, JSON, body.to_string().as_bytes()).await;
        assert_eq!(status, 400, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let good = json!({"prompt": prompt, "max_tokens": 1}).to_string();
    let (status, answer) = post(&process, "content-type: text/plain\r\n", good.as_bytes()).await;
    assert_eq!(status, 415, "{answer}");
    let required = json!({"prompt": prompt, "speculation": {"mode": "required"}}).to_string();
    let (status, answer) = post(&process, JSON, required.as_bytes()).await;
    assert_eq!(status, 503, "{answer}");
    let (status, answer) = post(&process, JSON, &vec![b' '; 5 << 20]).await;
    assert_eq!(status, 413, "{answer}");
    assert_eq!(process.sessions().await, 0);
}

#[tokio::test]
async fn client_that_leaves_frees_its_session() {
    let process = Process::endless(&[]).await;
    let endless = Generate {
        max_tokens: None,
        ..request(0.8, 1)
    };
    let mut stream = send(&process, JSON, body(&endless).to_string().as_bytes()).await;
    stream.read_exact(&mut [0; 400]).await.expect("events");
    assert_eq!(process.sessions().await, 1);
    drop(stream);
    eventually(|| async { process.sessions().await == 0 }).await;
}
