//! Chat templates: messages to the text that a model was trained to continue.
//!
//! Templates are written for Python's Jinja as Hugging Face sets it up; `minijinja` renders them here,
//! with the same switches: block tags take their line's white space with them, Python's string and
//! list methods work, and `tojson` does not escape for HTML.

mod functions;
mod json;
mod message;
mod plain;
mod tools;

use minijinja::{Environment, Value, context, syntax::SyntaxConfig, value::Serde};
use serde_json::Value as Json;

pub use self::message::{Chat, ChatEnd, Message, Role};
pub use self::plain::plain;
pub use self::tools::ToolSyntax;
pub(crate) use self::tools::without_tools;

/// Name of the one template in its environment.
const NAME: &str = "chat_template";

/// Why messages could not become text.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Not a template.
    #[error("the model's chat template is not valid")]
    Syntax(#[source] minijinja::Error),
    /// The template itself objects to the messages, for instance to their order.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    /// The template fails on the messages.
    #[error("the model's chat template fails")]
    Render(#[source] minijinja::Error),
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    knows_tools: bool,
    tool_syntax: ToolSyntax,
    thinks: bool,
}

impl ChatTemplate {
    /// Compiles a template; `bos` and `eos` are how the vocabulary spells these tokens.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(TemplateError::Syntax)?);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        functions::add_to(&mut environment);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(TemplateError::Syntax)?;
        Ok(Self {
            environment,
            bos: bos.to_owned(),
            eos: eos.to_owned(),
            knows_tools: tools::is_known_to(source),
            tool_syntax: ToolSyntax::of(source),
            thinks: source.contains("<think>"),
        })
    }

    /// Form in which the model writes calls of tools.
    pub fn tool_syntax(&self) -> ToolSyntax {
        self.tool_syntax
    }

    /// True if the model reasons between `<think>` and `</think>`.
    pub fn thinks(&self) -> bool {
        self.thinks
    }

    /// True if the model's turn begins within a thought, with these variables.
    pub fn opens_thought(&self, variables: &serde_json::Map<String, Json>) -> bool {
        if !self.thinks {
            return false;
        }
        let chat = Chat {
            variables: variables.clone(),
            ..Chat::new(vec![Message::new(Role::User, "Hello")])
        };
        let rendered = self.render(&chat, true);
        rendered.is_ok_and(|text| text.trim_end().ends_with("<think>"))
    }

    /// Renders a conversation; with `add_generation_prompt` it ends where the model is to speak.
    ///
    /// In scope, as Hugging Face has it: `messages`, `add_generation_prompt`, `bos_token`, `eos_token`, `tools`, `documents`, which
    /// are none, and the conversation's own variables.
    pub fn render(
        &self,
        chat: &Chat,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let has_tools =
            |message: &Message| !message.tool_calls.is_empty() || message.role == Role::Tool;
        if !self.knows_tools && (!chat.tools.is_empty() || chat.messages.iter().any(has_tools)) {
            return self.render_known(&tools::without_tools(chat), add_generation_prompt);
        }
        self.render_known(chat, add_generation_prompt)
    }

    fn render_known(
        &self,
        chat: &Chat,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let tools = Some(&chat.tools).filter(|tools| !tools.is_empty());
        let scope = context! {
            messages => chat.messages.iter().map(shown).collect::<Vec<Value>>(),
            add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => Value::from(Serde(tools)),
            documents => (),
            ..Value::from(Serde(&chat.variables))
        };
        let template = self
            .environment
            .get_template(NAME)
            .map_err(TemplateError::Syntax)?;
        template
            .render(scope)
            .map_err(|error| match functions::refusal(&error) {
                Some(message) => TemplateError::Refused(message),
                None => TemplateError::Render(error),
            })
    }
}

/// A message as templates see it. Fields that it lacks are undefined.
fn shown(message: &Message) -> Value {
    let mut fields = serde_json::Map::new();
    let mut set = |name: &str, value: Json| fields.insert(name.to_owned(), value);
    set("role", message.role.as_str().into());
    set("content", message.content.as_str().into());
    for (name, value) in [
        ("name", &message.name),
        ("tool_call_id", &message.tool_call_id),
        ("reasoning_content", &message.reasoning),
    ] {
        if let Some(value) = value {
            set(name, value.as_str().into());
        }
    }
    if !message.tool_calls.is_empty() {
        set("tool_calls", message.tool_calls.clone().into());
    }
    Value::from(Serde(&fields))
}

#[cfg(test)]
mod tests;
