//! Models, prompts and sampling, as both services describe them.

mod description;
mod prompt;
mod sampling;

pub(crate) use description::methods;
pub use description::{Build, Fingerprint, Method, Model};
pub use prompt::{Conversation, Ending, Message, Prompt, Role};
pub use sampling::Sampling;
