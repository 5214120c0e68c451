//! Structured output: the ways in which clients ask for a reply that follows a grammar.

use grammar::on_one_line;
use proto::verifier::{Grammar, GrammarRule};
use serde_json::{Value, json};

use super::{
    error::{ApiError, shown},
    params::{Params, wrong},
};

/// Grammar that a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    pub(super) rule: GrammarRule,
    /// The parameter that asks for it.
    pub(super) param: String,
    /// The schema, where it is one.
    pub(super) schema: Option<Value>,
}

impl Constraint {
    /// Takes all parameters that ask for a grammar. Two of them at once are refused.
    pub(super) fn take(params: &mut Params) -> Result<Option<Self>, ApiError> {
        let mut asked = Vec::new();
        asked.extend(response_format(params)?);
        asked.extend(structured_outputs(params)?);
        for (name, read) in [
            ("guided_json", Self::json as Read),
            ("guided_regex", Self::regex),
            ("guided_choice", Self::choice),
            ("guided_grammar", Self::lark),
            ("json_schema", Self::json),
            ("regex", Self::regex),
        ] {
            if let Some(value) = params.take(name) {
                asked.push(read(&params.path(name), value)?);
            }
        }
        if let [first, second, ..] = asked.as_slice() {
            let message = format!(
                "{} is given beside {}: a reply follows one of them, so give one",
                second.param, first.param
            );
            return Err(ApiError::parameter(second.param.clone(), message));
        }
        Ok(asked.pop())
    }

    /// The grammar on the wire.
    pub(super) fn grammar(&self) -> Grammar {
        self.rule.clone().into()
    }

    fn of_schema(path: &str, schema: &Value) -> Self {
        Self {
            rule: GrammarRule::JsonSchema(schema.to_string()),
            param: path.to_owned(),
            schema: Some(on_one_line(schema, false)),
        }
    }

    fn of(path: &str, rule: GrammarRule) -> Self {
        Self {
            rule,
            param: path.to_owned(),
            schema: None,
        }
    }

    /// A JSON Schema, as an object or as the text of one.
    fn json(path: &str, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(_) | Value::Bool(true) => Ok(Self::of_schema(path, &value)),
            Value::String(text) => {
                let schema = serde_json::from_str(&text).ok().filter(Value::is_object);
                let schema = schema.ok_or_else(|| {
                    let message = format!(
                        "{path} is {}: it must be a JSON Schema, as an object or as its text",
                        shown(&text)
                    );
                    ApiError::parameter(path, message)
                })?;
                Ok(Self::of_schema(path, &schema))
            }
            other => Err(wrong(path, &other, "a JSON Schema, which is an object")),
        }
    }

    fn regex(path: &str, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::String(regex) => Ok(Self::of(path, GrammarRule::Regex(regex))),
            other => Err(wrong(
                path,
                &other,
                "a regular expression, which is a string",
            )),
        }
    }

    fn lark(path: &str, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::String(lark) => Ok(Self::of(path, GrammarRule::Lark(lark))),
            other => Err(wrong(path, &other, "a Lark grammar, which is a string")),
        }
    }

    fn choice(path: &str, value: Value) -> Result<Self, ApiError> {
        let Value::Array(items) = value else {
            return Err(wrong(path, &value, "a list of strings"));
        };
        let text = |(i, value)| match value {
            Value::String(text) => Ok(text),
            other => Err(wrong(&format!("{path}[{i}]"), &other, "a string")),
        };
        let texts = items.into_iter().enumerate().map(text);
        let texts = texts.collect::<Result<Vec<String>, _>>()?;
        Ok(Self::of(path, GrammarRule::Choices(texts)))
    }
}

type Read = fn(&str, Value) -> Result<Constraint, ApiError>;

/// Takes OpenAI's `response_format`.
fn response_format(params: &mut Params) -> Result<Option<Constraint>, ApiError> {
    let Some(mut format) = params.object("response_format")? else {
        return Ok(None);
    };
    let kind = format.text("type")?;
    let kind = format.required("type", kind)?;
    let path = format.path("type");
    let constraint = match kind.as_str() {
        "text" => None,
        "json_object" => {
            // Some servers take a schema here.
            let any = || Constraint::of_schema("response_format", &json!({"type": "object"}));
            let schema = format.take("schema");
            let asked = schema.map(|schema| Constraint::json(&format.path("schema"), schema));
            Some(asked.transpose()?.unwrap_or_else(any))
        }
        "json_schema" => {
            let wrapped = format.object("json_schema")?;
            let mut wrapped = format.required("json_schema", wrapped)?;
            let schema = wrapped.take("schema");
            let schema = wrapped.required("schema", schema)?;
            let path = wrapped.path("schema");
            wrapped.skip(&["name", "description", "strict"]);
            wrapped.finish()?;
            Some(Constraint::json(&path, schema)?)
        }
        "regex" => {
            let pattern = format.take("pattern");
            let pattern = format.required("pattern", pattern)?;
            Some(Constraint::regex(&format.path("pattern"), pattern)?)
        }
        "grammar" | "lark_grammar" => {
            let grammar = format.take("grammar");
            let grammar = format.required("grammar", grammar)?;
            Some(Constraint::lark(&format.path("grammar"), grammar)?)
        }
        other => {
            let message = format!(
                "{path} is {}: it must be text, json_object, json_schema, regex or grammar",
                shown(other)
            );
            return Err(ApiError::parameter(path, message));
        }
    };
    format.finish()?;
    Ok(constraint)
}

/// Takes vLLM's `structured_outputs`.
fn structured_outputs(params: &mut Params) -> Result<Vec<Constraint>, ApiError> {
    let Some(mut outputs) = params.object("structured_outputs")? else {
        return Ok(Vec::new());
    };
    let mut asked = Vec::new();
    for (name, read) in [
        ("json", Constraint::json as Read),
        ("regex", Constraint::regex),
        ("choice", Constraint::choice),
        ("grammar", Constraint::lark),
    ] {
        if let Some(value) = outputs.take(name) {
            asked.push(read(&outputs.path(name), value)?);
        }
    }
    if outputs.flag("json_object")? == Some(true) {
        let path = outputs.path("json_object");
        asked.push(Constraint::of_schema(&path, &json!({"type": "object"})));
    }
    outputs.refuse("structural_tag", &[])?;
    outputs.refuse("whitespace_pattern", &[])?;
    // Choices between implementations that this server does not have.
    outputs.skip(&[
        "disable_fallback",
        "disable_any_whitespace",
        "disable_additional_properties",
    ]);
    outputs.finish()?;
    Ok(asked)
}
