//! Settings in the files next to a `tokenizer.json`.

use std::{fs, io, path::Path};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::TokenizerError;

/// Settings of the neighbouring files, each of which may be absent.
#[derive(Default)]
pub(super) struct Neighbours {
    pub(super) bos: Option<String>,
    pub(super) eos: Option<String>,
    pub(super) adds_bos: Option<bool>,
    /// Ids at which a generation stops.
    pub(super) end_tokens: Vec<u32>,
    pub(super) chat_template: Option<String>,
}

impl Neighbours {
    pub(super) fn read(tokenizer_json: &Path) -> Result<Self, TokenizerError> {
        let folder = tokenizer_json.parent().unwrap_or(Path::new(""));
        let config: Value = parsed(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let generation: Value = parsed(&folder.join("generation_config.json"))?.unwrap_or_default();
        let template = contents(&folder.join("chat_template.jinja"))?;
        Ok(Self {
            bos: spelling(&config, "bos_token"),
            eos: spelling(&config, "eos_token"),
            adds_bos: config.get("add_bos_token").and_then(Value::as_bool),
            end_tokens: ids(generation.get("eos_token_id")),
            chat_template: template.or_else(|| chat_template(&config)),
        })
    }
}

fn contents(path: &Path) -> Result<Option<String>, TokenizerError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn parsed<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TokenizerError> {
    let Some(text) = contents(path)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|source| TokenizerError::Parse {
        path: path.to_owned(),
        source,
    })
}

/// A token, written as a string or as an object around it.
fn spelling(config: &Value, role: &str) -> Option<String> {
    let token = config.get(role)?;
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .map(str::to_owned)
}

/// One template, or the default one of several.
fn chat_template(config: &Value) -> Option<String> {
    let template = config.get("chat_template")?;
    let named = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
    let several = || {
        template
            .as_array()?
            .iter()
            .find(named)?
            .get("template")?
            .as_str()
    };
    template.as_str().or_else(several).map(str::to_owned)
}

/// One id or several.
fn ids(value: Option<&Value>) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => Vec::new(),
    }
}
