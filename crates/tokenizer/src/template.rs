//! Chat templates: messages to the text that a model was trained to continue.
//!
//! Templates are written for Python's Jinja as Hugging Face sets it up; `minijinja` renders them here,
//! with the same switches: block tags take their line's white space with them, Python's string and
//! list methods work, and `tojson` does not escape for HTML.

mod functions;
mod message;
mod plain;

use minijinja::{Environment, Value, context, syntax::SyntaxConfig};

pub use self::message::{Message, Role};
pub use self::plain::plain;

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
        })
    }

    /// Renders a conversation; with `add_generation_prompt` it ends where the model is to speak.
    ///
    /// In scope, as Hugging Face has it: `messages`, `add_generation_prompt`, `bos_token`, `eos_token`,
    /// and `tools` and `documents`, which are none.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let message = |message: &Message| {
            context! { role => message.role.as_str(), content => message.content.as_str() }
        };
        let scope = context! {
            messages => messages.iter().map(message).collect::<Vec<Value>>(),
            add_generation_prompt,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            tools => (),
            documents => (),
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

#[cfg(test)]
mod tests;
