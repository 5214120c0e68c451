//! Structured output, tools, predictions, prompts as ids: what the target alone decides, and what it proposes itself.

use proto::{
    model::Prompt,
    verifier::{Generate, Grammar, GrammarRule, Proposer, RoundReport, Speculation},
};
use serde_json::{Value, json};
use tests::tiny::Tiny;

use crate::{
    harness::{Process, Whole, load, request, serving},
    hostile::{assert_refused, chat},
    web::{CHAT, COMPLETIONS},
};

const SCHEMA: &str = r#"{"type": "object", "properties": {"first_name": {"enum": ["Ann", "Bob"]}, "is_member": {"type": "boolean"}},
                        "required": ["first_name", "is_member"], "additionalProperties": false}"#;

/// Rounds whose block had this source, and the candidates accepted in them.
fn proposed_by(whole: &Whole, proposer: Proposer) -> (usize, u32) {
    let rounds = whole.chunks.iter().filter_map(|chunk| chunk.round.as_ref());
    let rounds = rounds.filter(|round| round.proposer == Some(proposer));
    rounds.fold((0, 0), |(count, accepted), round| {
        (count + 1, accepted + round.accepted_tokens)
    })
}

/// A request that adapts the length of blocks and reports rounds.
fn adaptive(temperature: f32, seed: u64) -> Generate {
    Generate {
        speculation: Speculation::auto(),
        rounds: RoundReport::Counts,
        ..request(temperature, seed)
    }
}

#[tokio::test]
async fn grammar_proposes_what_it_forces_and_the_text_is_that_of_plain_decoding() {
    let process = Process::endless(&[]).await;
    for seed in 0..4 {
        let asked = Generate {
            grammar: Some(GrammarRule::JsonSchema(SCHEMA.to_owned()).into()),
            ..adaptive(0.8, seed)
        };
        let (plain, helped) = (process.plain(&asked).await, process.generate(&asked).await);
        assert_eq!(helped.text, plain.text);
        let value: Value = serde_json::from_str(&helped.text).expect("JSON");
        assert!(value["is_member"].is_boolean(), "{value}");
        let (rounds, accepted) = proposed_by(&helped, Proposer::Grammar);
        assert!(rounds >= 2 && accepted >= 20, "{rounds}, {accepted}");
        assert_eq!(helped.finish.usage.rejected_tokens, 0);
        let (helped, plain) = (helped.finish.usage, plain.finish.usage);
        assert!(2 * helped.target_forwards < plain.target_forwards);
    }
}

#[tokio::test]
async fn grammar_after_a_text_holds_there_and_nowhere_else() {
    let process = Process::endless(&[]).await;
    // The model comes to the text after which the grammar holds by itself.
    let asked = Generate {
        grammar: Some(Grammar {
            rule: GrammarRule::Regex("[0-9]{6}".to_owned()),
            after: Some("e".to_owned()),
        }),
        ..adaptive(1.5, 3)
    };
    let (plain, helped) = (process.plain(&asked).await, process.generate(&asked).await);
    assert_eq!(helped.text, plain.text);
    let parts: Vec<&str> = helped.text.split('e').collect();
    assert!(parts.len() > 2, "{}", helped.text);
    for part in &parts[1..parts.len() - 1] {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        assert!(digits >= 6, "{part}");
    }
}

#[tokio::test]
async fn prediction_is_proposed_where_the_reply_follows_it() {
    let process = Process::endless(&[]).await;
    for seed in 0..3 {
        let asked = Generate {
            max_tokens: Some(120),
            ..adaptive(0.8, seed)
        };
        let plain = process.plain(&asked).await;
        let edited = plain.text.replacen(&plain.text[40..44], "", 1);
        for (prediction, fewest) in [(plain.text.clone(), 3), (edited, 2)] {
            let asked = Generate {
                prediction,
                ..asked.clone()
            };
            let helped = process.generate(&asked).await;
            assert_eq!(helped.text, plain.text);
            let (_, accepted) = proposed_by(&helped, Proposer::Prediction);
            let usage = helped.finish.usage;
            assert_eq!(usage.accepted_tokens, accepted);
            assert!(
                fewest * usage.target_forwards < plain.finish.usage.target_forwards,
                "{usage:?}"
            );
        }
        let useless = Generate {
            prediction: "Quite another text.\n".repeat(20),
            ..asked
        };
        let helped = process.generate(&useless).await;
        assert_eq!(helped.text, plain.text);
        assert!(helped.finish.usage.rejected_tokens < 60);
    }
}

#[tokio::test]
async fn reply_ends_neither_too_early_nor_by_tokens_that_are_ruled_out() {
    let process = Process::endless(&[]).await;
    let mut asked = request(0.8, 5);
    asked.top_logprobs = Some(0);
    let plain = process.generate(&asked).await;
    let tokens: Vec<_> = plain
        .chunks
        .iter()
        .flat_map(|chunk| &chunk.tokens)
        .collect();
    let id = tokens[7].token.id;
    let before = tokens.iter().take_while(|token| token.token.id != id);
    let before: Vec<u8> = before.flat_map(|token| token.token.bytes.clone()).collect();
    let expected = String::from_utf8(before).expect("UTF-8");
    asked.ends.stop_tokens = vec![id];
    let stopped = process.generate(&asked).await;
    assert_eq!(stopped.text, expected);
    assert_eq!(stopped.finish.matched_stop_token, Some(id));
    asked.ends.include_stop = true;
    let included = process.generate(&asked).await.text;
    let stop = String::from_utf8(tokens[7].token.bytes.clone()).expect("UTF-8");
    assert_eq!(included, format!("{expected}{stop}"));
    // The same with the model's own ends ruled out, which are none of the request's.
    for ignore_end in [false, true] {
        asked.ends.ignore_end = ignore_end;
        asked.ends.min_tokens = 20;
        let longer = process.generate(&asked).await;
        assert!(longer.finish.usage.completion_tokens >= 20);
        assert_eq!(longer.text, process.plain(&asked).await.text);
    }
}

#[tokio::test]
async fn prompt_is_scored_and_repeated() {
    let process = Process::endless(&[]).await;
    let ids: Vec<u32> = b"let the fn".iter().map(|byte| u32::from(*byte)).collect();
    let body = |prompt: Value| json!({"model": "tiny", "prompt": prompt, "echo": true, "logprobs": 2, "max_tokens": 1, "temperature": 0});
    let answer = process.post(COMPLETIONS, &body(json!([ids]))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let choice = &answer.json()["choices"][0];
    let text = choice["text"].as_str().unwrap();
    assert!(text.starts_with("let the fn"), "{text}");
    let logprobs = &choice["logprobs"];
    let listed = |name: &str| logprobs[name].as_array().unwrap().clone();
    assert_eq!(listed("tokens").len(), ids.len() + 1);
    assert!(listed("token_logprobs")[0].is_null() && listed("top_logprobs")[0].is_null());
    assert!(
        listed("token_logprobs")[1..]
            .iter()
            .all(|p| p.as_f64() <= Some(0.0))
    );
    assert_eq!(listed("text_offset")[ids.len()], ids.len());
    // A token's log probability is the same whether it is read or generated.
    let generated = listed("tokens")[ids.len()].clone();
    let spelled = json!({"prompt": generated, "add_special_tokens": false});
    let spelled = process.post("/tokenize", &spelled).await.json();
    let longer: Vec<Value> = ids.iter().map(|id| json!(id)).collect();
    let longer = [longer, spelled["tokens"].as_array().unwrap().clone()].concat();
    assert_eq!(longer.len(), ids.len() + 1);
    let read = process.post(COMPLETIONS, &body(json!(longer))).await.json();
    let read = &read["choices"][0]["logprobs"]["token_logprobs"][ids.len()];
    let (read, expected) = (
        read.as_f64().unwrap(),
        listed("token_logprobs")[ids.len()].as_f64(),
    );
    assert!(
        (read - expected.unwrap()).abs() < 1e-6,
        "{read}, {expected:?}"
    );
    let streamed = crate::hostile::merged(body(json!([ids])), &json!({"stream": true}));
    let streamed = process.post(COMPLETIONS, &streamed).await;
    let pieces: String = streamed
        .events()
        .iter()
        .filter_map(|e| e["choices"][0]["text"].as_str().map(ToOwned::to_owned))
        .collect();
    assert_eq!(pieces, text);
    let nothing = json!({"model": "tiny", "prompt": "let", "echo": true, "max_tokens": 0});
    let nothing = process.post(COMPLETIONS, &nothing).await.json();
    assert_eq!(nothing["choices"][0]["text"], "let");
    assert_eq!(nothing["usage"]["completion_tokens"], 0);
    assert_eq!(nothing["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn tools_that_must_be_called_are() {
    // The tools take part of the prompt.
    let tiny = Tiny {
        context: 2048,
        ..Tiny::default()
    };
    let process = Process::start(load(&tiny), serving(&[])).await;
    let tools = json!([
        {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties":
            {"a": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["a"], "additionalProperties": false}}},
        {"type": "function", "function": {"name": "say \"hello\"", "parameters": {"type": "object", "properties": {},
            "additionalProperties": false}}},
    ]);
    for choice in [
        json!("required"),
        json!({"type": "function", "function": {"name": "add"}}),
    ] {
        let mut body = chat(&json!({
            "tools": tools, "tool_choice": choice, "parallel_tool_calls": false, "max_tokens": 200, "seed": 3, "temperature": 0.8,
        }));
        let answer = process.post(CHAT, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let whole = answer.json();
        let said = &whole["choices"][0];
        assert_eq!(said["finish_reason"], "tool_calls", "{whole}");
        assert!(said["message"]["content"].is_null());
        let call = &said["message"]["tool_calls"][0];
        let arguments = call["function"]["arguments"].as_str().unwrap();
        serde_json::from_str::<Value>(arguments).expect("JSON");
        body["stream"] = json!(true);
        let events = process.post(CHAT, &body).await.events();
        let deltas = events.iter().filter_map(|e| {
            e["choices"][0]["delta"]["tool_calls"][0]
                .as_object()
                .cloned()
        });
        let deltas: Vec<_> = deltas.collect();
        assert_eq!(deltas[0]["function"]["name"], call["function"]["name"]);
        assert!(deltas[0]["id"].is_string() && deltas.iter().all(|delta| delta["index"] == 0));
        let streamed: String = deltas
            .iter()
            .map(|d| d["function"]["arguments"].as_str().unwrap())
            .collect();
        assert_eq!(streamed, arguments);
    }
}

#[tokio::test]
async fn history_of_calls_and_a_choice_of_none_are_taken() {
    let process = Process::endless(&[]).await;
    let body = chat(
        &json!({"tool_choice": "none", "tools": [{"type": "function", "function": {"name": "f"}}], "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "18 C"},
        ]}),
    );
    let answer = process.post(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-duet-ignored"), None);
}

#[tokio::test]
async fn grammars_that_cannot_be_used_are_refused_by_the_parameter_that_has_them() {
    let process = Process::endless(&[]).await;
    let schema = |schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}});
    let tool = |function: Value| json!({"tools": [{"type": "function", "function": function}]});
    let many: Vec<Value> = (0..10_000)
        .map(|i| json!({"type": "function", "function": {"name": format!("f{i}")}}))
        .collect();
    for (parameters, param) in [
        (
            schema(json!({"type": "hiccup"})),
            "response_format.json_schema.schema",
        ),
        (schema(json!("x")), "response_format.json_schema.schema"),
        (
            schema(json!({"const": "x".repeat(300_000)})),
            "response_format.json_schema.schema",
        ),
        (
            json!({"response_format": {"type": "json_schema"}}),
            "response_format.json_schema",
        ),
        (
            json!({"response_format": {"type": "yaml"}}),
            "response_format.type",
        ),
        (json!({"guided_regex": "("}), "guided_regex"),
        (json!({"guided_choice": []}), "guided_choice"),
        (json!({"guided_choice": ["a", 1]}), "guided_choice[1]"),
        (
            json!({"structured_outputs": {"grammar": "nonsense"}}),
            "structured_outputs.grammar",
        ),
        (
            json!({"guided_regex": "a", "guided_choice": ["a"]}),
            "guided_choice",
        ),
        (json!({"grammar": "root ::= [a-z]"}), "grammar"),
        (json!({"tools": many}), "tools"),
        (tool(json!({"name": ""})), "tools[0].function.name"),
        (tool(json!({"name": "a\nb"})), "tools[0].function.name"),
        (
            tool(json!({"name": "f", "parameters": 3})),
            "tools[0].function.parameters",
        ),
        (json!({"tools": [{"type": "retrieval"}]}), "tools[0].type"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"prediction": {"type": "file"}}), "prediction.type"),
        (
            json!({"prediction": {"type": "content"}}),
            "prediction.content",
        ),
        (
            json!({"prediction": {"type": "content", "content": "x".repeat(1_100_000)}}),
            "prediction",
        ),
        (json!({"stop_token_ids": [1, "x"]}), "stop_token_ids[1]"),
        (json!({"stop_token_ids": [5_000_000]}), "stop_token_ids"),
        (json!({"min_tokens": 9, "max_tokens": 8}), "min_tokens"),
        (json!({"chat_template_kwargs": [1]}), "chat_template_kwargs"),
        (
            json!({"continue_final_message": true, "add_generation_prompt": true}),
            "continue_final_message",
        ),
    ] {
        assert_refused(&process, CHAT, &chat(&parameters), param).await;
    }
    let completion = |prompt: Value| json!({"model": "tiny", "prompt": prompt, "suffix": "x"});
    assert_refused(&process, COMPLETIONS, &completion(json!("a")), "suffix").await;
    let ids = json!({"model": "tiny", "prompt": [[1, 5_000_000]]});
    assert_refused(&process, COMPLETIONS, &ids, "prompt[1]").await;
}

#[tokio::test]
async fn control_tokens_of_a_raw_prompt_are_tokens_and_those_of_messages_are_text() {
    let process = Process::endless(&[]).await;
    let tokens = |prompt: Prompt| {
        let asked = Generate {
            prompt,
            max_tokens: Some(1),
            ..request(0.0, 0)
        };
        let process = &process;
        async move { process.generate(&asked).await.finish.usage.prompt_tokens }
    };
    assert_eq!(
        tokens(Prompt::Text("<|im_start|>a<|im_end|>".to_owned())).await,
        3
    );
    assert_eq!(tokens(Prompt::Tokens(vec![97, 98])).await, 2);
}
