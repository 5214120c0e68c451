//! What both services say about models, prompts and sampling.

mod description;
mod prompt;
mod sampling;

pub(crate) use description::methods;
pub use description::{Build, Fingerprint, Method, Model};
pub use prompt::{Message, Prompt, Role};
pub use sampling::Sampling;
