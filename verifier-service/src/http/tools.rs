//! Tools that a client offers, which of them the model has to call, and the grammar of its calls.

use grammar::{on_one_line, quoted};
use proto::{
    limits::{MAX_GRAMMAR_BYTES, MAX_NAME_BYTES},
    verifier::{Grammar, GrammarRule},
};
use serde_json::{Value, json};
use tokenizer::{Tokenizer, template::ToolSyntax};

use super::{
    error::{ApiError, shown},
    output::{CallForm, LIST, TAGS},
    params::{Params, wrong},
};

/// Most tools of a request.
const MAX_TOOLS: usize = 512;

/// Tools that a client offers.
#[derive(Debug)]
pub(super) struct Tools {
    /// In OpenAI's form, for the template.
    described: Vec<Value>,
    listed: Vec<Tool>,
    choice: ToolChoice,
    /// True if several calls may come at once.
    parallel: bool,
}

#[derive(Debug)]
struct Tool {
    name: String,
    parameters: Value,
}

#[derive(Debug, Eq, PartialEq)]
enum ToolChoice {
    /// The model calls tools where it wants to.
    Auto,
    /// It calls at least one.
    Required,
    /// It calls this one.
    Named(String),
}

impl Tools {
    /// Takes `tools`, `tool_choice` and `parallel_tool_calls`; `None` if no tool may be called.
    pub(super) fn take(params: &mut Params) -> Result<Option<Self>, ApiError> {
        let parallel = params.flag("parallel_tool_calls")?.unwrap_or(true);
        let described = params.list("tools")?.unwrap_or_default();
        if described.len() > MAX_TOOLS {
            let message = format!(
                "tools has {} entries: it must have at most {MAX_TOOLS}",
                described.len()
            );
            return Err(ApiError::parameter("tools", message));
        }
        let tool = |(i, value): (usize, &Value)| {
            Tool::take(params.within(format!("tools[{i}]"), value.clone())?)
        };
        let listed: Vec<Tool> = described
            .iter()
            .enumerate()
            .map(tool)
            .collect::<Result<_, _>>()?;
        let choice = params.take("tool_choice");
        let Some(choice) = ToolChoice::read(choice, &listed)? else {
            return Ok(None);
        };
        Ok((!listed.is_empty()).then_some(Self {
            described,
            listed,
            choice,
            parallel,
        }))
    }

    /// Form of the calls that may come.
    pub(super) fn form(&self, syntax: ToolSyntax) -> CallForm {
        CallForm {
            syntax,
            tools: self.listed.iter().map(|tool| tool.name.clone()).collect(),
            is_single: !self.parallel,
        }
    }

    /// Text that ends the reply where only one call may come and the model may choose. No call has it within, since no JSON text
    /// has a line break.
    pub(super) fn end_of_one(&self, syntax: ToolSyntax) -> Option<&'static str> {
        let chooses = self.choice == ToolChoice::Auto;
        (chooses && !self.parallel && syntax == ToolSyntax::Tagged).then_some("\n</tool_call>")
    }

    /// Grammar of the reply: calls in this form. Where the model may choose, it holds from the beginning of a call on; `answer`,
    /// a schema that text must follow, is then the other choice. `None`: the reply is free.
    pub(super) fn grammar(
        &self,
        syntax: ToolSyntax,
        tokenizer: &Tokenizer,
        answer: Option<&Value>,
    ) -> Result<Option<Grammar>, ApiError> {
        let is_free = self.choice == ToolChoice::Auto && answer.is_none();
        let after = match syntax {
            ToolSyntax::Tagged => TAGS.0,
            ToolSyntax::List => LIST,
            ToolSyntax::Bare if is_free => return Ok(None),
            ToolSyntax::Bare => "",
        };
        let opening = match syntax {
            _ if is_free => String::new(),
            ToolSyntax::List => control(tokenizer, LIST),
            ToolSyntax::Tagged | ToolSyntax::Bare => quoted(after),
        };
        let lark = self.lark(syntax, &opening, answer);
        if lark.len() > MAX_GRAMMAR_BYTES {
            if is_free {
                // Too many tools to hold the model to; what it calls is read all the same.
                return Ok(None);
            }
            let message = format!(
                "tools is too long to be enforced: their parameters must have at most {MAX_GRAMMAR_BYTES} bytes, or \
                 tool_choice must be auto"
            );
            return Err(ApiError::parameter("tools", message));
        }
        Ok(Some(Grammar {
            rule: GrammarRule::Lark(lark),
            after: is_free.then(|| after.to_owned()),
        }))
    }

    fn lark(&self, syntax: ToolSyntax, opening: &str, answer: Option<&Value>) -> String {
        let callable: Vec<&Tool> = match &self.choice {
            ToolChoice::Named(name) => self.listed.iter().filter(|t| t.name == *name).collect(),
            ToolChoice::Auto | ToolChoice::Required => self.listed.iter().collect(),
        };
        let again = self.parallel && !matches!(self.choice, ToolChoice::Named(_));
        let calls = match (syntax, opening.is_empty()) {
            // The next call begins with the tag again, where the grammar begins again.
            (ToolSyntax::Tagged, true) => "\"\\n\" call \"\\n</tool_call>\"".to_owned(),
            (ToolSyntax::Tagged, false) => {
                let one = format!("{opening} \"\\n\" call \"\\n</tool_call>\"");
                if again {
                    format!("({one}) (\"\\n\" {one})*")
                } else {
                    one
                }
            }
            (ToolSyntax::List, _) if again => format!("{opening} \"[\" call (\", \" call)* \"]\""),
            (ToolSyntax::List, _) => format!("{opening} \"[\" call \"]\""),
            (ToolSyntax::Bare, _) => "call".to_owned(),
        };
        let start = match answer {
            Some(schema) => {
                format!("start: calls | answer\ncalls: {calls}\nanswer: %json {schema}")
            }
            None => format!("start: {calls}"),
        };
        let names = (0..callable.len()).map(|i| format!("call_{i}"));
        let names: Vec<String> = names.collect();
        let mut lines = vec![start, format!("call: {}", names.join(" | "))];
        let key = match syntax {
            ToolSyntax::Tagged | ToolSyntax::List => "arguments",
            ToolSyntax::Bare => "parameters",
        };
        for (i, tool) in callable.into_iter().enumerate() {
            let name = Value::from(tool.name.as_str());
            let head = quoted(&format!("{{\"name\": {name}, \"{key}\": "));
            let parameters = on_one_line(&tool.parameters, true);
            lines.push(format!("call_{i}: {head} arguments_{i} \"}}\""));
            lines.push(format!("arguments_{i}: %json {parameters}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The tools in OpenAI's form, as a list in JSON.
    pub(super) fn to_json(&self) -> String {
        Value::Array(self.described.clone()).to_string()
    }
}

/// A control token in a Lark grammar; its name where the vocabulary has no such token.
fn control(tokenizer: &Tokenizer, name: &str) -> String {
    match tokenizer.encode_with_specials(name).as_slice() {
        [id] if tokenizer.is_control(*id) => format!("<[{id}]>"),
        _ => quoted(name),
    }
}

impl Tool {
    fn take(mut tool: Params) -> Result<Self, ApiError> {
        let kind = tool.text("type")?;
        let path = tool.path("type");
        if let Some(kind) = kind.filter(|kind| kind != "function") {
            let message = format!("{path} is {}: it must be function", shown(&kind));
            return Err(ApiError::parameter(path, message).coded("unsupported_parameter"));
        }
        let function = tool.object("function")?;
        let mut function = tool.required("function", function)?;
        let name = function.text("name")?;
        let name = function.required("name", name)?;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
            let path = function.path("name");
            let message = format!(
                "{path} is {}: it must be 1 to {MAX_NAME_BYTES} bytes without control characters",
                shown(&name)
            );
            return Err(ApiError::parameter(path, message));
        }
        let path = function.path("parameters");
        let parameters = match function.take("parameters") {
            None => json!({"type": "object", "properties": {}}),
            Some(Value::Object(fields)) if fields.is_empty() => json!({"type": "object"}),
            Some(Value::Object(fields)) => Value::Object(fields),
            Some(other) => return Err(wrong(&path, &other, "a JSON Schema, which is an object")),
        };
        function.skip(&["description", "strict"]);
        function.finish()?;
        tool.skip(&["cache_control"]);
        tool.finish()?;
        Ok(Self { name, parameters })
    }
}

impl ToolChoice {
    /// `None`: no tool may be called.
    fn read(value: Option<Value>, tools: &[Tool]) -> Result<Option<Self>, ApiError> {
        let expected = "none, auto, required, or an object that names a function";
        let name = match value {
            None => return Ok(Some(Self::Auto)),
            Some(Value::String(text)) => {
                return match text.as_str() {
                    "none" => Ok(None),
                    "auto" => Ok(Some(Self::Auto)),
                    "required" | "any" if !tools.is_empty() => Ok(Some(Self::Required)),
                    "required" | "any" => {
                        let message = "tool_choice is required, and there are no tools: give some, or leave it out";
                        Err(ApiError::parameter("tool_choice", message))
                    }
                    other => {
                        let message =
                            format!("tool_choice is {}: it must be {expected}", shown(other));
                        Err(ApiError::parameter("tool_choice", message))
                    }
                };
            }
            Some(value) => {
                let name = value
                    .pointer("/function/name")
                    .or_else(|| value.get("name"));
                let name = name.and_then(Value::as_str).map(ToOwned::to_owned);
                name.ok_or_else(|| wrong("tool_choice", &value, expected))?
            }
        };
        if tools.iter().any(|tool| tool.name == name) {
            return Ok(Some(Self::Named(name)));
        }
        let message = format!(
            "tool_choice.function.name is {}: it must be the name of one of the tools",
            shown(&name)
        );
        Err(ApiError::parameter("tool_choice", message))
    }
}
