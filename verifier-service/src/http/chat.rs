//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::{
    Router, body::Body, extract::State, http::HeaderMap, response::Response, routing::post,
};
use proto::{
    model::{Conversation, Ending, Prompt, Role},
    verifier::{Generate, Grammar},
};
use serde_json::{Map, Value, json};
use tokenizer::template::{ChatTemplate, ToolSyntax};

use super::{
    answer::answer,
    api::{Api, CallContext},
    constraint::Constraint,
    endpoint::{self, Endpoint},
    error::ApiError,
    messages,
    output::OutputForm,
    params::{Params, wrong},
    request::{self, Begun, CompletionRequest, GrammarSource},
    tools::Tools,
};
use crate::config::Serving;

pub(super) fn routes() -> Router<Arc<Api>> {
    endpoint::paths("chat/completions")
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route(&path, post(complete))
        })
}

/// Parameters of this endpoint that this server does not have, each with the values that change nothing.
fn unsupported() -> [(&'static str, Vec<Value>); 8] {
    [
        ("audio", vec![]),
        ("chat_template", vec![]),
        ("documents", vec![]),
        ("function_call", vec![json!("none"), json!("auto")]),
        ("functions", vec![]),
        ("modalities", vec![json!(["text"])]),
        ("moderation", vec![]),
        ("web_search_options", vec![]),
    ]
}

/// Hints of this endpoint, which change nothing here: how much to say is up to the model.
const HINTS: [&str; 3] = ["separate_reasoning", "stream_reasoning", "verbosity"];

async fn complete(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    answer(api, (Endpoint::Chat, read), &headers, body).await
}

/// The request in a body.
pub(super) fn read(
    mut params: Params,
    context: CallContext<'_>,
) -> Result<CompletionRequest, ApiError> {
    request::model(&mut params, context.serving)?;
    let (mut conversation, variables) = conversation(&mut params, context.serving)?;
    let tools = Tools::take(&mut params)?;
    let constraint = Constraint::take(&mut params)?;
    let template = context.target.engine().chat_template();
    let syntax = template.map_or(ToolSyntax::Tagged, ChatTemplate::tool_syntax);
    let mut request = Generate::new(Prompt::Text(String::new()));
    request.max_tokens = request::max_completion_tokens(&mut params, context.serving)?;
    if request.max_tokens == Some(0) {
        let message = "max_tokens is 0: it must be at least 1, or -1 for no limit";
        return Err(ApiError::parameter("max_tokens", message));
    }
    request.top_logprobs = top_logprobs(&mut params)?;
    request.grammar = grammar((tools.as_ref(), constraint.as_ref()), syntax, context)?;
    let holds_throughout = |grammar: &Grammar| grammar.after.is_none();
    let is_held = request.grammar.as_ref().is_some_and(holds_throughout);
    // A reply that may not think is no thought, whatever the prompt opens.
    let may_think = begins_turn(&conversation) && !is_held;
    let mut form = OutputForm {
        thinks: template.is_some_and(ChatTemplate::thinks),
        opens_thought: may_think
            && template.is_some_and(|template| template.opens_thought(&variables)),
        drops_reasoning: params.flag("include_reasoning")? == Some(false),
        ..OutputForm::default()
    };
    if let Some(tools) = tools {
        conversation.tools = Some(tools.to_json());
        form.calls = Some(tools.form(syntax));
        // Control tokens mark calls in some families.
        request.include_control = syntax != ToolSyntax::Tagged;
        request
            .stop
            .extend(tools.end_of_one(syntax).map(str::to_owned));
    }
    let source = GrammarSource {
        param: constraint.map_or_else(|| "tools".to_owned(), |asked| asked.param),
        // Where the model may call or not, its calls are read all the same.
        is_optional: !is_held,
    };
    for (name, neutral) in unsupported() {
        params.refuse(name, &neutral)?;
    }
    params.skip(&HINTS);
    let begun = Begun {
        prompts: vec![Prompt::Conversation(conversation)],
        request,
        form,
        echo: None,
        grammar: Some(source),
    };
    request::completion(params, begun, context)
}

/// Takes a conversation without its tools, and the variables of its template.
pub(super) fn conversation(
    params: &mut Params,
    serving: &Serving,
) -> Result<(Conversation, Map<String, Value>), ApiError> {
    let messages = messages::take(params)?;
    let ending = ending(params)?;
    let variables = template_variables(params, serving)?;
    let set = (!variables.is_empty()).then(|| Value::Object(variables.clone()).to_string());
    let conversation = Conversation {
        messages,
        tools: None,
        template_variables: set,
        ending,
    };
    Ok((conversation, variables))
}

/// True if the reply opens a turn, rather than going on with the last message.
fn begins_turn(conversation: &Conversation) -> bool {
    let last = conversation.messages.last();
    match conversation.ending {
        Ending::Answer => true,
        Ending::Either => !last.is_some_and(|last| {
            let is_text = last.tool_calls.is_none() && !last.content.is_empty();
            last.role == Role::Assistant && is_text
        }),
        Ending::Continue | Ending::Closed => false,
    }
}

/// Grammar of the reply: of calls, of structured output, or of either.
fn grammar(
    (tools, constraint): (Option<&Tools>, Option<&Constraint>),
    syntax: ToolSyntax,
    context: CallContext<'_>,
) -> Result<Option<Grammar>, ApiError> {
    let Some(tools) = tools else {
        return Ok(constraint.map(Constraint::grammar));
    };
    let schema = constraint.and_then(|asked| asked.schema.as_ref());
    if let Some(asked) = constraint.filter(|asked| asked.schema.is_none()) {
        let message = format!(
            "{} is given beside tools: only a JSON Schema can be, or tool_choice none",
            asked.param
        );
        return Err(ApiError::parameter(asked.param.clone(), message));
    }
    tools.grammar(syntax, context.target.tokenizer(), schema)
}

/// Takes what says how the prompt ends.
fn ending(params: &mut Params) -> Result<Ending, ApiError> {
    let opens_turn = params.flag("add_generation_prompt")?;
    let continues = params.flag("continue_final_message")?.unwrap_or(false);
    match (continues, opens_turn) {
        (true, Some(true)) => {
            let message = "continue_final_message is true beside add_generation_prompt: one of them must be false";
            Err(ApiError::parameter("continue_final_message", message))
        }
        (true, _) => Ok(Ending::Continue),
        (false, Some(false)) => Ok(Ending::Closed),
        (false, _) => Ok(Ending::Either),
    }
}

/// Takes the variables of the chat template, those of the server first.
fn template_variables(
    params: &mut Params,
    serving: &Serving,
) -> Result<Map<String, Value>, ApiError> {
    let mut variables = serving.template_variables.clone();
    let path = params.path("chat_template_kwargs");
    match params.take("chat_template_kwargs") {
        None => {}
        Some(Value::Object(fields)) => variables.extend(fields),
        Some(other) => return Err(wrong(&path, &other, "an object")),
    }
    if let Some(thinks) = params.flag("enable_thinking")? {
        variables.insert("enable_thinking".to_owned(), thinks.into());
    }
    if let Some(effort) = params.text("reasoning_effort")? {
        variables.insert("reasoning_effort".to_owned(), effort.into());
    }
    Ok(variables)
}

fn top_logprobs(params: &mut Params) -> Result<Option<u32>, ApiError> {
    let is_asked = params.flag("logprobs")?.unwrap_or(false);
    match params.count("top_logprobs")? {
        Some(count) if count > 0 && !is_asked => {
            let message = "top_logprobs is given without logprobs: set logprobs to true";
            Err(ApiError::parameter("top_logprobs", message))
        }
        count => Ok(is_asked.then_some(count.unwrap_or(0))),
    }
}
