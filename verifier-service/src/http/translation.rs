//! A request in the shape of another API, as the body of a chat. What a chat's reader then refuses is named as the client
//! named it.

use serde_json::{Map, Value, json};

use super::{
    chat,
    error::{ApiError, shown},
    exchange::Exchange,
    params::Params,
    request::CompletionRequest,
};

/// From a request's parameters to those of the chat that it asks for, and the client's names of them.
pub(super) type Translate = fn(Params) -> Result<(Params, Names), ApiError>;

/// The request in the parameters, and the client's names of the chat's.
pub(super) fn read(
    exchange: &Exchange,
    params: Params,
    translate: Translate,
) -> Result<(CompletionRequest, Names), ApiError> {
    let translated = translate(params);
    let (params, names) = translated.inspect_err(|error| exchange.api.refused(error))?;
    let request = exchange.read(params, chat::read);
    let request = request.map_err(|error| names.restore(error))?;
    Ok((request, names))
}

/// The body of a chat, as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Translation {
    fields: Map<String, Value>,
    messages: Vec<Value>,
    tools: Vec<Value>,
    /// Reasoning of the assistant's next message.
    reasoning: Option<String>,
    pub(super) names: Names,
}

/// What a tool may have beside itself, which no model is shown.
const UNSEEN_OF_TOOLS: [&str; 5] = [
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "eager_input_streaming",
    "input_examples",
];

/// How an API writes a tool that the client runs.
pub(super) struct ToolForm {
    /// The tool's `type`.
    pub(super) kind: &'static str,
    /// True if a tool without a `type` is of that one.
    pub(super) is_default: bool,
    /// Name of the schema of its parameters.
    pub(super) parameters: &'static str,
}

/// Paths in a chat's body, each with its path in the client's request.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    pub(super) fn add(&mut self, chat: impl Into<String>, client: impl Into<String>) {
        self.0.push((chat.into(), client.into()));
    }

    /// The error about the client's parameter.
    pub(super) fn restore(&self, error: ApiError) -> ApiError {
        error.renamed_by(|path| self.of(path))
    }

    /// The client's path for one in the chat's body, by its longest prefix that has one.
    fn of(&self, path: &str) -> String {
        let known = self.0.iter().filter_map(|(chat, client)| {
            let rest = path.strip_prefix(chat.as_str())?;
            let ends = rest.is_empty() || rest.starts_with(['.', '[']);
            ends.then_some((chat.len(), client, rest))
        });
        match known.max_by_key(|(length, ..)| *length) {
            Some((_, client, rest)) => format!("{client}{rest}"),
            None => path.to_owned(),
        }
    }
}

impl Translation {
    /// Sets a parameter of the chat, which the client knows as `client`.
    pub(super) fn set(&mut self, name: &str, client: &str, value: Value) {
        self.names.add(name, client);
        self.fields.insert(name.to_owned(), value);
    }

    /// Passes a parameter on under the name that chats have for it.
    pub(super) fn pass(&mut self, params: &mut Params, client: &str, name: &str) {
        if let Some(value) = params.take(client) {
            self.set(name, client, value);
        }
    }

    /// Adds reasoning to the assistant's next message.
    pub(super) fn think(&mut self, text: &str) {
        self.reasoning.get_or_insert_default().push_str(text);
    }

    /// Adds a message, which the client has at `path`; its content at `content`.
    pub(super) fn message(&mut self, mut message: Value, path: &str, content: &str) {
        let here = format!("messages[{}]", self.messages.len());
        self.names.add(format!("{here}.content"), content);
        self.names.add(here, path);
        let reasoning = self.reasoning.take().filter(|text| !text.is_empty());
        if let Some(reasoning) = reasoning.filter(|_| is_assistant(&message)) {
            message["reasoning_content"] = reasoning.into();
        }
        self.messages.push(message);
    }

    /// Adds a call, which the client has at `path`, to the assistant's last message or a new one.
    pub(super) fn call(&mut self, (id, name): (&str, &str), arguments: &str, path: &str) {
        let is_open = self.messages.last().is_some_and(is_assistant) && self.reasoning.is_none();
        if !is_open {
            self.message(json!({"role": "assistant"}), path, path);
        }
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"id": id, "type": "function", "function": function});
        if let Some(message) = self.messages.last_mut() {
            match message.get_mut("tool_calls").and_then(Value::as_array_mut) {
                Some(calls) => calls.push(call),
                None => message["tool_calls"] = json!([call]),
            }
        }
    }

    /// Takes the tools that the client runs. Others would be run by the server: this one has none.
    pub(super) fn tools(&mut self, params: &mut Params, form: &ToolForm) -> Result<(), ApiError> {
        let tools = params.list("tools")?.unwrap_or_default();
        for (i, tool) in tools.into_iter().enumerate() {
            let path = format!("tools[{i}]");
            let mut tool = params.within(path.clone(), tool)?;
            let kind = tool.text("type")?;
            let kind = kind.or_else(|| form.is_default.then(|| form.kind.to_owned()));
            let kind = tool.required("type", kind)?;
            if kind != form.kind {
                let own = form.kind;
                let message = format!("{path}.type is {}: it must be {own}", shown(&kind));
                params.unknown(path, message, "unsupported_parameter")?;
                continue;
            }
            let mut function = Map::new();
            for (here, name) in [
                ("name", "name"),
                ("description", "description"),
                (form.parameters, "parameters"),
                ("strict", "strict"),
            ] {
                if let Some(value) = tool.take(here) {
                    function.insert(name.to_owned(), value);
                }
            }
            tool.skip(&UNSEEN_OF_TOOLS);
            tool.finish()?;
            self.tool(&function, &path, form.parameters);
        }
        Ok(())
    }

    fn tool(&mut self, function: &Map<String, Value>, path: &str, parameters: &str) {
        let here = format!("tools[{}]", self.tools.len());
        self.names.add(
            format!("{here}.function.parameters"),
            format!("{path}.{parameters}"),
        );
        self.names.add(format!("{here}.function"), path);
        self.names.add(here, path);
        self.tools
            .push(json!({"type": "function", "function": function}));
    }

    /// Sets the one tool that has to be called, whose name the client has at `client.name`.
    pub(super) fn choose(&mut self, name: &str) {
        self.names.add("tool_choice.function", "tool_choice");
        let choice = json!({"type": "function", "function": {"name": name}});
        self.fields.insert("tool_choice".to_owned(), choice);
    }

    /// Asks for a reply that follows the schema in `format`, which the client has at `path`.
    pub(super) fn schema(&mut self, mut format: Params, path: &str) -> Result<(), ApiError> {
        let schema = format.take("schema");
        let schema = format.required("schema", schema)?;
        format.skip(&["name", "description", "strict"]);
        format.finish()?;
        self.names.add("response_format.json_schema", path);
        let format = json!({"type": "json_schema", "json_schema": {"schema": schema}});
        self.set("response_format", path, format);
        Ok(())
    }

    /// The chat's parameters: what is written here, and what `params` has left.
    pub(super) fn into_chat(self, params: Params) -> (Params, Names) {
        let (mut fields, unknown) = params.into_parts();
        fields.extend(self.fields);
        fields.insert("messages".to_owned(), self.messages.into());
        if !self.tools.is_empty() {
            fields.insert("tools".to_owned(), self.tools.into());
        }
        (Params::new(fields, unknown), self.names)
    }
}

fn is_assistant(message: &Value) -> bool {
    message["role"] == "assistant"
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::params::Unknown, *};

    /// The chat that a body asks for, and the client's names of its parameters.
    pub(in crate::http) fn translated(body: &str, translate: Translate) -> (Value, Names) {
        let fields = serde_json::from_str(body).unwrap();
        let (chat, names) = translate(Params::new(fields, Unknown::Refused)).unwrap();
        (chat.into_parts().0.into(), names)
    }

    #[test]
    fn longest_prefix_gives_the_name() {
        let mut names = Names::default();
        names.add("messages", "input");
        names.add("messages[1]", "input[3]");
        names.add("messages[1].content", "input[3].output");
        names.add("stop", "stop_sequences");
        for (chat, client) in [
            ("messages", "input"),
            ("messages[1].role", "input[3].role"),
            ("messages[1].content[0].type", "input[3].output[0].type"),
            ("messages[10].role", "input[10].role"),
            ("stop[1]", "stop_sequences[1]"),
            ("stop_token_ids", "stop_token_ids"),
            ("seed", "seed"),
        ] {
            assert_eq!(names.of(chat), client);
        }
    }
}
