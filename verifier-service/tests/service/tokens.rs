//! The target's tokenizer over HTTP.

use inference::engine::Engine;
use serde_json::{Value, json};

use crate::{
    harness::{CONTEXT, Process, endless},
    hostile::{assert_refused, chat, merged},
    web::CHAT,
};

const TEXT: &str = "let the fn = \u{e9}<|im_end|>";

fn ids(answer: &Value) -> Vec<u32> {
    let tokens = answer["tokens"].as_array().expect("ids");
    let ids: Vec<u32> = tokens
        .iter()
        .map(|id| id.as_u64().expect("an id") as u32)
        .collect();
    assert_eq!(answer["count"], ids.len());
    assert_eq!(answer["max_model_len"], CONTEXT);
    ids
}

#[tokio::test]
async fn text_becomes_ids_and_these_the_same_text() {
    let (process, engine): (_, Engine) = (Process::endless(&[]).await, endless());
    let tokenizer = engine.tokenizer();
    for path in ["/tokenize", "/v1/tokenize", "/tokenize/"] {
        let answer = process.post(path, &json!({"prompt": TEXT})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(ids(&answer.json()), tokenizer.encode_with_specials(TEXT));
        assert_eq!(answer.json()["token_strs"], Value::Null);
    }
    for (parse_special, expected) in [
        (true, tokenizer.encode_with_specials(TEXT)),
        (false, tokenizer.encode(TEXT)),
    ] {
        let asked = json!({
            "model": "tiny", "prompt": TEXT, "parse_special": parse_special, "return_token_strs": true,
            "add_special_tokens": false,
        });
        let answer = process.post("/tokenize", &asked).await.json();
        let found = ids(&answer);
        assert_eq!(found, expected);
        let strings = answer["token_strs"].as_array().expect("strings");
        assert_eq!(strings.len(), found.len());
        assert_eq!(strings[0], "let");
        let asked = json!({"tokens": found});
        let back = process.post("/v1/detokenize", &asked).await;
        assert_eq!(back.json(), json!({"prompt": TEXT}));
    }
    let nothing = process.post("/tokenize", &json!({"prompt": ""})).await;
    assert_eq!(ids(&nothing.json()), [] as [u32; 0]);
    let nothing = process.post("/detokenize", &json!({"tokens": []})).await;
    assert_eq!(nothing.json(), json!({"prompt": ""}));
}

#[tokio::test]
async fn messages_become_the_ids_that_the_chat_endpoint_makes_of_them() {
    let process = Process::endless(&[]).await;
    let messages = json!([{"role": "system", "content": "a"}, {"role": "user", "content": TEXT}]);
    let asked = json!({"messages": messages, "add_generation_prompt": true, "add_special_tokens": false, "shiny": 1});
    let answer = process.post("/tokenize", &asked).await;
    assert_eq!(answer.header("x-duet-ignored"), Some("shiny"));
    let found = ids(&answer.json());
    let reply = process
        .post(CHAT, &chat(&json!({"messages": messages})))
        .await;
    assert_eq!(reply.json()["usage"]["prompt_tokens"], found.len());
    let text = process.post("/detokenize", &json!({"tokens": found})).await;
    let text = text.json()["prompt"].as_str().expect("a text").to_owned();
    assert!(text.ends_with("<|im_start|>assistant\n"), "{text}");
    assert!(text.contains(TEXT), "{text}");
}

#[tokio::test]
async fn tokenizer_describes_itself() {
    let process = Process::endless(&[]).await;
    for path in ["/tokenizer_info", "/v1/tokenizer_info"] {
        let about = process.get(path).await.json();
        assert_eq!(about["eos_token"], "<|endoftext|>");
        assert_eq!(about["bos_token"], "<|endoftext|>");
        assert_eq!(about["pad_token"], Value::Null);
        assert_eq!(about["model_max_length"], CONTEXT);
        let template = about["chat_template"].as_str().expect("a template");
        assert!(template.contains("<|im_start|>"), "{template}");
    }
    // As lm-eval finds the token's id.
    let asked = json!({"prompt": "<|endoftext|>", "add_special_tokens": false});
    let answer = process.post("/tokenize", &asked).await.json();
    assert_eq!(Some(ids(&answer)[0]), endless().tokenizer().specials().eos);
}

#[tokio::test]
async fn bad_request_is_refused_by_the_name_of_its_field() {
    let process = Process::endless(&[]).await;
    let size = endless().tokenizer().vocab_size();
    for (path, param, parameters) in [
        ("/tokenize", "prompt", json!({})),
        ("/tokenize", "prompt", json!({"prompt": 7})),
        (
            "/tokenize",
            "prompt",
            json!({"prompt": "x".repeat((1 << 20) + 1)}),
        ),
        (
            "/tokenize",
            "messages",
            json!({"prompt": "a", "messages": []}),
        ),
        ("/tokenize", "messages", json!({"messages": []})),
        (
            "/tokenize",
            "messages[0].role",
            json!({"messages": [{"content": "a"}]}),
        ),
        (
            "/tokenize",
            "tools[0].function",
            json!({"messages": [{"role": "user", "content": "a"}], "tools": [{}]}),
        ),
        (
            "/tokenize",
            "chat_template",
            json!({"messages": [{"role": "user", "content": "a"}], "chat_template": "x"}),
        ),
        (
            "/tokenize",
            "return_token_strs",
            json!({"prompt": "a", "return_token_strs": 1}),
        ),
        ("/detokenize", "tokens", json!({})),
        ("/detokenize", "tokens", json!({"tokens": "a"})),
        ("/detokenize", "tokens[1]", json!({"tokens": [1, -1]})),
        ("/detokenize", "tokens[1]", json!({"tokens": [1, size]})),
        ("/detokenize", "tokens[0]", json!({"tokens": ["a"]})),
        (
            "/detokenize",
            "tokens",
            json!({"tokens": vec![264; 400_000]}),
        ),
    ] {
        assert_refused(
            &process,
            path,
            &merged(json!({"model": "tiny"}), &parameters),
            param,
        )
        .await;
    }
    let asked = json!({"model": "other", "prompt": "a"});
    assert_eq!(process.post("/tokenize", &asked).await.status, 404);
}
