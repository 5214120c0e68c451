//! Clients as they are: what they send beside the request, how they write numbers, where they look, and more of them than places.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tests::tiny::Tiny;
use tokio::task::JoinSet;
use verifier_service::config::{AdmissionLimits, Serving};

use crate::{
    harness::{Process, endless, eventually, load, serving},
    hostile::{assert_refused, chat, merged},
    web::CHAT,
};

#[tokio::test]
async fn unsupported_parameters_that_change_nothing_are_accepted() {
    let process = Process::endless(&[]).await;
    let nothing = json!({
        "tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"], "store": false,
        "n": null, "stop": null, "audio": null, "service_tier": "auto", "metadata": {}, "logit_bias": {}, "logprobs": false,
        "stream": false, "user": "someone", "speculation": {}, "parallel_tool_calls": true, "stream_options": {},
        "ignore_eos": false, "min_tokens": 0, "use_beam_search": false, "skip_special_tokens": true, "repeat_penalty": 1,
        "add_generation_prompt": true, "continue_final_message": false, "echo": false, "top_k": -1, "stop_token_ids": [],
        "reasoning_effort": "low", "prompt_cache_key": "k", "safety_identifier": "u", "verbosity": "low", "priority": 1,
    });
    let answer = process.post(CHAT, &chat(&nothing)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-duet-ignored"), None);
    let turns = json!({"messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "refusal": null, "tool_calls": null, "audio": null, "annotations": []},
        {"role": "tool", "content": "c", "tool_call_id": "1", "name": "f"},
        {"role": "function", "content": "c", "name": "f"},
        {"role": "assistant", "content": null, "tool_calls": [], "reasoning_content": "hm", "id": "1"},
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], "name": "bob"},
        {"role": "assistant"},
        {"role": "user", "content": "d"},
    ]});
    let answer = process.post(CHAT, &chat(&turns)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-duet-ignored"), None);
}

#[tokio::test]
async fn unknown_parameters_are_ignored_and_named_or_refused() {
    let unknown = chat(&json!({
        "shiny": 3, "col\nour": "blue", "stream_options": {"later": 1},
        "messages": [{"role": "user", "content": "let", "mood": "good"}],
    }));
    let process = Process::endless(&[]).await;
    let answer = process.post(CHAT, &unknown).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let ignored = answer.header("x-duet-ignored").expect("names");
    let mut names: Vec<&str> = ignored.split(", ").collect();
    names.sort_unstable();
    let expected = [
        "col\\nour",
        "messages[0].mood",
        "shiny",
        "stream_options.later",
    ];
    assert_eq!(names, expected);

    let serving = Serving {
        strict_parameters: true,
        ..serving(&[])
    };
    let process = Process::start(endless(), serving).await;
    assert_refused(&process, CHAT, &chat(&json!({"shiny": 3})), "shiny").await;
    let nameless = chat(&json!({"model": null}));
    assert_refused(&process, CHAT, &nameless, "model").await;
}

#[tokio::test]
async fn numbers_are_read_as_clients_write_them() {
    let process = Process::endless(&[]).await;
    let answer = |parameters: Value| {
        let body = chat(&merged(
            json!({"logit_bias": ascii(), "seed": 1}),
            &parameters,
        ));
        let process = &process;
        async move {
            let answer = process.post(CHAT, &body).await;
            assert_eq!(answer.status, 200, "{body}: {answer:?}");
            answer.json()
        }
    };
    let plain = answer(json!({"max_tokens": 8})).await;
    for same in [
        json!({"max_tokens": 8.0, "seed": 1.0}),
        json!({"max_tokens": 8e0}),
        json!({"max_tokens": 5, "max_completion_tokens": 8, "top_k": -1}),
        json!({"max_tokens": 8, "model": "someone/tiny", "stop": ["", ""]}),
    ] {
        let other = answer(same).await;
        assert_eq!(plain["choices"], other["choices"]);
    }
    for without_limit in [json!({"max_tokens": 1_000_000}), json!({"max_tokens": -1})] {
        let longest = answer(without_limit).await;
        assert_eq!(longest["choices"][0]["finish_reason"], "length");
        assert!(
            longest["usage"]["total_tokens"].as_u64() >= Some(500),
            "{longest}"
        );
    }
    let random = || answer(json!({"seed": -1, "temperature": 2, "max_tokens": 30}));
    assert_ne!(random().await["choices"], random().await["choices"]);
}

#[tokio::test]
async fn prompt_that_does_not_fit_has_the_code_that_clients_look_for() {
    let process = Process::endless(&[]).await;
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(4000)}]});
    let answer = process.post(CHAT, &chat(&long)).await;
    assert_eq!(answer.status, 400);
    let (param, code, message) = answer.error();
    assert_eq!(param.as_deref(), Some("messages"));
    assert_eq!(code.as_deref(), Some("context_length_exceeded"));
    assert!(
        message.contains("maximum context length is 512 tokens"),
        "{message}"
    );
}

#[tokio::test]
async fn health_and_paths_of_other_servers_are_served() {
    let process = Process::endless(&[]).await;
    for path in [
        "/health",
        "/v1/health",
        "/ping",
        "/version",
        "/models",
        "/v1/models/",
    ] {
        assert_eq!(process.get(path).await.status, 200, "{path}");
    }
    for path in ["/chat/completions", "/v1/chat/completions/"] {
        assert_eq!(
            process.post(path, &chat(&json!({}))).await.status,
            200,
            "{path}"
        );
    }
    let models = process.get("/v1/models").await.json();
    assert_eq!(models["data"][0]["max_model_len"], 512);
}

#[tokio::test]
async fn requests_beyond_the_places_wait_and_all_are_answered() {
    let serving = Serving {
        admission: AdmissionLimits {
            in_progress: 4,
            waiting: 100,
            patience: Duration::from_mins(1),
        },
        ..serving(&[])
    };
    let process = Arc::new(Process::start(load(&Tiny::default()), serving).await);
    let mut clients = JoinSet::new();
    for client in 0..32 {
        let process = Arc::clone(&process);
        clients.spawn(async move {
            let body = chat(&json!({"n": 1 + client % 4, "stream": client % 2 == 0}));
            process.post(CHAT, &body).await.status
        });
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.expect("no panic"), 200);
    }
    eventually(|| async { process.sessions().await == 0 }).await;
    assert_eq!(process.metric("requests_waiting").await, 0);
}

/// Biases that rule out ids above ASCII, so that a reply has no end of its own and is text.
fn ascii() -> Value {
    let ruled_out = (128..256).map(|id| (id.to_string(), json!(-100)));
    Value::Object(ruled_out.collect())
}
