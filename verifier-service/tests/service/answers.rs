//! The newer APIs, OpenAI's Responses and Anthropic's Messages: the same requests as chats, in other shapes.

use inference::engine::Engine;
use serde_json::{Value, json};
use tests::tiny::Tiny;
use verifier_service::config::Serving;

use crate::{
    harness::{Process, endless, eventually, load, serving},
    hostile::merged,
    web::{Answer, CHAT},
};

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

/// A tool whose calls end soon, whatever a model of random weights chooses.
const SCHEMA: &str = r#"{"type": "object", "properties": {"where": {"enum": ["here", "there"]}}, "required": ["where"],
                         "additionalProperties": false}"#;

/// A body for the endpoint at `path` that keeps the answer short, repeatable and ASCII.
fn body(path: &str, parameters: &Value) -> Value {
    let biases: serde_json::Map<String, Value> = (128..256)
        .map(|id: u32| (id.to_string(), json!(-100)))
        .collect();
    let common = json!({
        "model": "tiny", "temperature": 0.8, "seed": 7, "logit_bias": biases, "speculation": {"mode": "off"},
    });
    let said = json!([{"role": "user", "content": "let a = b"}]);
    let own = match path {
        RESPONSES => json!({"input": said, "instructions": "be the fn", "max_output_tokens": 40}),
        MESSAGES => json!({"messages": said, "system": "be the fn", "max_tokens": 40}),
        _ => json!({
            "messages": [{"role": "system", "content": "be the fn"}, {"role": "user", "content": "let a = b"}],
            "max_tokens": 40,
        }),
    };
    merged(merged(common, &own), parameters)
}

/// An engine with room for tools and their calls, a token for nearly every byte.
fn roomy() -> Engine {
    load(&Tiny {
        context: 2048,
        ..Tiny::default()
    })
}

/// One tool in the form of the endpoint, which has to be called.
fn called(path: &str) -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    match path {
        RESPONSES => json!({
            "tools": [{"type": "web_search"}, {"type": "function", "name": "look", "parameters": schema, "strict": true}],
            "tool_choice": "required", "parallel_tool_calls": false, "max_output_tokens": 200,
        }),
        _ => json!({
            "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"name": "look", "input_schema": schema}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true}, "max_tokens": 200,
        }),
    }
}

async fn answered(process: &Process, path: &str, parameters: &Value) -> Answer {
    let body = body(path, parameters);
    let answer = process.post(path, &body).await;
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    answer
}

/// Text of a chat's answer, with the tokens of prompt and reply.
async fn chatted(process: &Process, parameters: &Value) -> (String, u64, u64) {
    let answer = answered(process, CHAT, parameters).await.json();
    let text = answer["choices"][0]["message"]["content"].as_str();
    let number = |name: &str| answer["usage"][name].as_u64().expect("a number");
    let (prompt, completion) = (number("prompt_tokens"), number("completion_tokens"));
    (text.expect("a text").to_owned(), prompt, completion)
}

#[tokio::test]
async fn responses_say_what_chats_say() {
    let process = Process::endless(&[]).await;
    for parameters in [
        json!({}),
        json!({"temperature": 0, "speculation": {"block_length": 6}}),
        json!({"stop": "e"}),
        json!({"top_p": 0.5, "top_k": 9, "seed": 3}),
    ] {
        let (text, prompt, completion) = chatted(&process, &parameters).await;
        let response = answered(&process, RESPONSES, &parameters).await.json();
        let item = &response["output"][0];
        assert_eq!(item["content"][0]["text"], text);
        let ended = if parameters.get("stop").is_some() {
            "completed"
        } else {
            "incomplete"
        };
        assert_eq!(
            (&response["status"], &item["status"]),
            (&json!(ended), &json!(ended))
        );
        let usage = &response["usage"];
        assert_eq!(usage["input_tokens"], prompt);
        assert_eq!(usage["output_tokens"], completion);
        assert_eq!(usage["total_tokens"], prompt + completion);
        assert_eq!(response["instructions"], "be the fn");
        assert_eq!(response["object"], "response");

        let streamed = merged(parameters, &json!({"stream": true}));
        let events = answered(&process, RESPONSES, &streamed)
            .await
            .named_events();
        let numbers = events
            .iter()
            .map(|(_, data)| data["sequence_number"].as_u64());
        assert!(numbers.eq((0..events.len() as u64).map(Some)));
        assert!(events.iter().all(|(name, data)| data["type"] == **name));
        assert_eq!(deltas(&events, "response.output_text.delta"), text);
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        let ended = format!("response.{ended}");
        let around: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| *name != "response.output_text.delta")
            .collect();
        let expected = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            &ended,
        ];
        assert_eq!(around, expected);
        let last = &events.last().expect("events").1["response"];
        assert_eq!(
            last["output"][0]["content"],
            response["output"][0]["content"]
        );
        assert_eq!(last["usage"]["output_tokens"], completion);
    }
}

#[tokio::test]
async fn messages_say_what_chats_say() {
    let process = Process::endless(&[]).await;
    for parameters in [
        json!({}),
        json!({"temperature": 0}),
        json!({"stop_sequences": ["never", "e"]}),
    ] {
        let chat = match parameters.get("stop_sequences") {
            Some(stop) => json!({"stop": stop}),
            None => parameters.clone(),
        };
        let (text, prompt, completion) = chatted(&process, &chat).await;
        let message = answered(&process, MESSAGES, &parameters).await.json();
        assert_eq!(message["content"], json!([{"type": "text", "text": text}]));
        let ended = if parameters.get("stop_sequences").is_some() {
            (json!("stop_sequence"), json!("e"))
        } else {
            (json!("max_tokens"), Value::Null)
        };
        assert_eq!(
            (&message["stop_reason"], &message["stop_sequence"]),
            (&ended.0, &ended.1)
        );
        assert_eq!(read(&message["usage"]), prompt);
        assert_eq!(message["usage"]["output_tokens"], completion);
        let counted = merged(parameters.clone(), &json!({"max_tokens": null}));
        let counted = process.post(COUNT_TOKENS, &body(MESSAGES, &counted)).await;
        assert_eq!(counted.json(), json!({"input_tokens": prompt}));

        let streamed = merged(parameters, &json!({"stream": true}));
        let events = answered(&process, MESSAGES, &streamed).await.named_events();
        assert!(events.iter().all(|(name, data)| data["type"] == **name));
        let texts = events
            .iter()
            .filter_map(|(_, data)| data["delta"]["text"].as_str());
        assert_eq!(texts.collect::<String>(), text);
        let names = events.iter().map(|(name, _)| name.as_str());
        let around: Vec<&str> = names
            .filter(|name| *name != "content_block_delta")
            .collect();
        let expected = [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(around, expected);
        let start = &events[0].1["message"];
        assert_eq!(
            (read(&start["usage"]), &start["content"]),
            (prompt, &json!([]))
        );
        let (_, end) = &events[events.len() - 2];
        assert_eq!(
            (&end["delta"]["stop_reason"], &end["delta"]["stop_sequence"]),
            (&ended.0, &ended.1)
        );
        assert_eq!(end["usage"]["output_tokens"], completion);
    }
}

/// Tokens of the prompt in Anthropic's form, which counts cached ones apart.
fn read(usage: &Value) -> u64 {
    let number = |name: &str| usage[name].as_u64().expect("a number");
    number("input_tokens") + number("cache_read_input_tokens")
}

fn deltas(events: &[(String, Value)], name: &str) -> String {
    let named = events.iter().filter(|(event, _)| event == name);
    named
        .filter_map(|(_, data)| data["delta"].as_str())
        .collect()
}

#[tokio::test]
async fn response_calls_a_tool_and_takes_its_result_back() {
    let process = Process::start(roomy(), serving(&[])).await;
    let answer = answered(&process, RESPONSES, &called(RESPONSES)).await;
    assert_eq!(answer.header("x-duet-ignored"), Some("tools[0]"));
    let response = answer.json();
    assert_eq!(response["status"], "completed");
    let call = &response["output"][0];
    assert_eq!(
        (&call["type"], &call["name"]),
        (&json!("function_call"), &json!("look"))
    );
    let arguments: Value =
        serde_json::from_str(call["arguments"].as_str().expect("a text")).expect("JSON");
    assert!(arguments["where"].is_string(), "{call}");

    let streamed = merged(called(RESPONSES), &json!({"stream": true}));
    let events = answered(&process, RESPONSES, &streamed)
        .await
        .named_events();
    assert_eq!(
        deltas(&events, "response.function_call_arguments.delta"),
        call["arguments"]
    );
    let done = events
        .iter()
        .find(|(name, _)| name == "response.function_call_arguments.done");
    assert_eq!(done.expect("an end").1["arguments"], call["arguments"]);

    let id = call["call_id"].as_str().expect("an id");
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": "let"}]}, call,
        {"type": "function_call_output", "call_id": id, "output": "sun"},
    ]);
    answered(&process, RESPONSES, &json!({"input": input})).await;
}

#[tokio::test]
async fn message_calls_a_tool_and_takes_its_result_back() {
    let process = Process::start(roomy(), serving(&[])).await;
    let answer = answered(&process, MESSAGES, &called(MESSAGES)).await;
    assert_eq!(answer.header("x-duet-ignored"), Some("tools[0]"));
    let message = answer.json();
    assert_eq!(message["stop_reason"], "tool_use", "{message}");
    let call = &message["content"][0];
    assert_eq!(
        (&call["type"], &call["name"]),
        (&json!("tool_use"), &json!("look"))
    );
    assert!(call["input"]["where"].is_string(), "{call}");
    assert!(call["id"].as_str().expect("an id").starts_with("toolu_"));

    let streamed = merged(called(MESSAGES), &json!({"stream": true}));
    let events = answered(&process, MESSAGES, &streamed).await.named_events();
    let start = events
        .iter()
        .find(|(name, _)| name == "content_block_start");
    assert_eq!(
        start.expect("a block").1["content_block"]["input"],
        json!({})
    );
    let parts = events
        .iter()
        .filter_map(|(_, data)| data["delta"]["partial_json"].as_str());
    let input: Value = serde_json::from_str(&parts.collect::<String>()).expect("JSON");
    assert_eq!(input, call["input"]);

    let messages = json!([
        {"role": "user", "content": "let"},
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "sun"}]},
    ]);
    answered(&process, MESSAGES, &json!({"messages": messages})).await;
}

/// Bad requests: the parameter that the error must name, and the parameters sent.
const NO_RESPONSES: &str = r#"
input {"input": null}
input {"input": 7}
input {"input": []}
input[0] {"input": ["let"]}
input[0].role {"input": [{"content": "let"}]}
input[0].role {"input": [{"role": "robot", "content": "let"}]}
input[0].content {"input": [{"role": "user"}]}
input[1].content[0].type {"input": [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "input_image"}]}]}
input[0].type {"input": [{"type": "item_reference", "id": "x"}]}
input[0].call_id {"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}
input[1].output[0].type {"input": [{"role": "user", "content": "a"}, {"type": "function_call_output", "call_id": "x", "output": [{"type": "input_file"}]}]}
instructions {"instructions": 7}
max_output_tokens {"max_output_tokens": 0}
max_output_tokens {"max_output_tokens": "many"}
max_tokens {"max_tokens": 3}
messages {"messages": [{"role": "user", "content": "a"}]}
n {"n": 2}
previous_response_id {"previous_response_id": "resp_1"}
conversation {"conversation": "conv_1"}
background {"background": true}
prompt {"prompt": {"id": "x"}}
include[0] {"include": ["message.output_text.logprobs"]}
top_logprobs {"top_logprobs": 2}
temperature {"temperature": 3}
tools[0].name {"tools": [{"type": "function"}]}
tools[1].name {"tools": [{"type": "web_search"}, {"type": "function"}]}
tools[0].parameters {"tools": [{"type": "function", "name": "f", "parameters": 7}]}
tool_choice {"tool_choice": "required"}
tool_choice {"tool_choice": {"type": "function", "name": "f"}}
tool_choice.type {"tool_choice": {"type": "web_search"}}
text.format.type {"text": {"format": {"type": "xml"}}}
text.format.schema {"text": {"format": {"type": "json_schema", "name": "n"}}}
text.format.schema {"text": {"format": {"type": "json_schema", "name": "n", "schema": 7}}}
text.format.schema {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "nothing"}}}}
reasoning.effort {"reasoning": {"effort": 7}}
"#;

/// The same for messages.
const NO_MESSAGES: &str = r#"
messages {"messages": null}
messages {"messages": []}
messages[0].role {"messages": [{"role": "robot", "content": "let"}]}
messages[0].content {"messages": [{"role": "user"}]}
messages[0].content[0].type {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}
messages[0].content[0].tool_use_id {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}
messages[0].content[0].input {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": 7}]}]}
system {"system": 7}
system[0].type {"system": [{"type": "image"}]}
max_tokens {"max_tokens": null}
max_tokens {"max_tokens": 0}
stop_sequences[1] {"stop_sequences": ["a", 7]}
stop_sequences {"stop_sequences": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"]}
stop {"stop": "x"}
temperature {"temperature": "hot"}
tools[0].name {"tools": [{"input_schema": {}}]}
tools[0].input_schema {"tools": [{"name": "f", "input_schema": 7}]}
tool_choice {"tool_choice": {"type": "any"}}
tool_choice.type {"tool_choice": {"type": "must"}}
thinking.type {"thinking": {"type": "sometimes"}}
output_config.format.schema {"output_config": {"format": {"type": "json_schema", "schema": {"type": "nothing"}}}}
mcp_servers {"mcp_servers": [{"name": "x"}]}
"#;

fn cases(table: &str) -> impl Iterator<Item = (&str, Value)> {
    let lines = table.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(param, parameters)| (param, serde_json::from_str(parameters).expect("JSON")))
}

#[tokio::test]
async fn bad_parameter_of_a_response_is_refused_by_the_clients_name() {
    let process = Process::endless(&[]).await;
    for (param, parameters) in cases(NO_RESPONSES) {
        let answer = process.post(RESPONSES, &body(RESPONSES, &parameters)).await;
        assert_eq!(answer.status, 400, "{parameters}: {answer:?}");
        let (named, _, message) = answer.error();
        assert_eq!(named.as_deref(), Some(param), "{parameters}: {message}");
        assert!(message.starts_with(param), "{parameters}: {message}");
    }
    let strict = Serving {
        strict_parameters: true,
        ..serving(&[])
    };
    let process = Process::start(endless(), strict).await;
    for (param, parameters) in [
        ("tools[0]", called(RESPONSES)),
        ("shiny", json!({"shiny": 1})),
    ] {
        let answer = process.post(RESPONSES, &body(RESPONSES, &parameters)).await;
        assert_eq!(
            (answer.status, answer.error().0.as_deref()),
            (400, Some(param))
        );
    }
}

#[tokio::test]
async fn bad_parameter_of_a_message_is_refused_in_anthropics_shape() {
    let process = Process::endless(&[]).await;
    for (param, parameters) in cases(NO_MESSAGES) {
        let answer = process.post(MESSAGES, &body(MESSAGES, &parameters)).await;
        assert_eq!(answer.status, 400, "{parameters}: {answer:?}");
        let error = answer.json();
        assert_eq!(
            (&error["type"], &error["error"]["type"]),
            (&json!("error"), &json!("invalid_request_error"))
        );
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with(param), "{parameters}: {message}");
    }
    let other = process
        .post(MESSAGES, &body(MESSAGES, &json!({"model": "claude-x"})))
        .await;
    assert_eq!(
        (other.status, &other.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(4000)}]});
    let long = body(MESSAGES, &long);
    let error = process.post(MESSAGES, &long).await.json();
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(
        message.starts_with("prompt is too long: messages is "),
        "{message}"
    );
    let counted = process.post(COUNT_TOKENS, &long).await.json();
    assert!(counted["input_tokens"].as_u64() > Some(512), "{counted}");
    eventually(|| async { process.sessions().await == 0 }).await;
}

#[tokio::test]
async fn what_changes_nothing_passes_and_what_is_unknown_is_named() {
    let process = Process::endless(&[]).await;
    let hints = json!({
        "store": true, "metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "truncation": "auto", "prompt_cache_key": "k",
        "include": ["reasoning.encrypted_content"], "reasoning": {"effort": null, "summary": "auto"}, "background": false,
        "text": {"verbosity": "low"}, "previous_response_id": null, "parallel_tool_calls": true, "tools": [], "n": 1,
        "max_tool_calls": 3, "stream_options": {"include_obfuscation": false}, "safety_identifier": "s",
    });
    let answer = answered(&process, RESPONSES, &hints).await;
    assert_eq!(answer.header("x-duet-ignored"), None);
    assert_eq!(
        answer.json()["text"],
        json!({"verbosity": "low", "format": {"type": "text"}})
    );
    let hints = json!({
        "metadata": {"user_id": "u"}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}, "thinking": {"type": "disabled"},
        "context_management": {"edits": []}, "tools": [], "tool_choice": {"type": "none"},
    });
    let answer = answered(&process, MESSAGES, &hints).await;
    assert_eq!(answer.header("x-duet-ignored"), None);
    let unknown =
        json!({"shiny": 1, "input": [{"role": "user", "content": "let", "mood": "good"}]});
    let answer = answered(&process, RESPONSES, &unknown).await;
    assert_eq!(
        answer.header("x-duet-ignored"),
        Some("input[0].mood, shiny")
    );
    for path in ["/responses", "/v1/responses/"] {
        let answer = process.post(path, &body(RESPONSES, &json!({}))).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}
