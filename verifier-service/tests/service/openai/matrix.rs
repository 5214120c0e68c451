//! Answers are the same with and without speculation, whole and streamed, under every parameter.

use serde_json::{Value, json};

use super::{biases, body, said::Said, with};
use crate::{
    drafters::{Kind, Running},
    harness::Process,
    web::{CHAT, COMPLETIONS},
};

/// Parameters of the matrix, made from the text that comes without a stop string.
const CASES: [fn(&str) -> Value; 49] = [
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
    |_| json!({"temperature": 0.8, "seed": -2}),
    |_| json!({"temperature": 0.8, "seed": u64::MAX}),
    |_| json!({"temperature": 0.8, "speculation": {"block_length": 1, "method": "coupled"}}),
    |_| json!({"speculation": {"block_length": 3, "mode": "auto"}, "user": "someone", "n": 1}),
    |_| json!({"response_format": person()}),
    |_| json!({"response_format": person(), "temperature": 0.8, "n": 2, "logprobs": 1}),
    |_| json!({"guided_regex": "[a-z]{3,9}(-[0-9]{2}){2}", "temperature": 0.8}),
    |_| json!({"structured_outputs": {"choice": ["yes", "no, thanks", "no, never"]}, "temperature": 1.2}),
    |_| json!({"guided_grammar": "start: \"(\" WORD (\", \" WORD)* \")\"\nWORD: /[a-f]{2,4}/", "temperature": 0.8}),
    |_| json!({"response_format": {"type": "json_object"}, "temperature": 0.8, "max_tokens": 25}),
    |text| json!({"prediction": {"type": "content", "content": &text[..20]}}),
    |text| json!({"prediction": {"type": "content", "content": [{"type": "text", "text": flawed(text)}]}, "temperature": 0.8}),
    |_| json!({"response_format": person(), "prediction": {"type": "content", "content": "{\"name\": \"Bob\", \"age\": 3}"}}),
    |text| json!({"stop": [&text[9..14]], "include_stop_str_in_output": true}),
    |text| json!({"stop": [&text[3..5]], "min_tokens": 25, "temperature": 0.8}),
    |_| json!({"stop_token_ids": [101, 116, 32], "ignore_eos": true, "temperature": 0.8}),
    |text| json!({"stop": [&text[4..5], &text[20..22]], "min_tokens": 12, "logprobs": 1}),
    |_| json!({"stop": ["t", "e"], "min_tokens": 9, "temperature": 0.8}),
    |_| json!({"stop_token_ids": [97, 101, 105, 111, 32], "min_tokens": 18, "ignore_eos": true, "temperature": 0.8}),
];

/// A small schema.
fn person() -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "person", "strict": true, "schema": {
        "type": "object",
        "properties": {"name": {"enum": ["Ann", "Bob"]}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": false,
    }}})
}

/// The answer with every eleventh character wrong, for a drafter to propose.
fn flawed(text: &str) -> String {
    let flaw = |(at, byte): (usize, char)| if at % 11 == 7 { '#' } else { byte };
    text.chars().enumerate().map(flaw).collect()
}

/// Checks every case at one endpoint. Returns the numbers of accepted and rejected tokens.
async fn matrix(process: &Process, drafter: &Running, path: &str) -> (u64, u64) {
    let mut judged = (0, 0);
    let off = json!({"speculation": {"mode": "off"}});
    let streamed = json!({"stream": true, "stream_options": {"include_usage": true}});
    for (number, case) in CASES.into_iter().enumerate() {
        let case = |text: &str| body(path, case(text));
        // Long enough for the longest stop string of the cases.
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

/// Checks properties of every answer.
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
        let scored: usize = said.choices.iter().map(|choice| choice.tokens.len()).sum();
        let each = 1 + alternatives;
        if asked["stop"].is_null() {
            assert_eq!(scored as u64, said.completion_tokens * each, "{case}");
        } else {
            assert!(
                scored as u64 <= said.completion_tokens * each && scored > 0,
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
