//! The two endpoints of OpenAI's API that generate text.

/// An endpoint. They differ in parameters and in the shape of answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

impl Endpoint {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }
}

/// Paths of an endpoint: as OpenAI has it, and as clients write it whose base lacks the version or who end it with a slash.
pub(super) fn paths(endpoint: &str) -> [String; 4] {
    [
        format!("/v1/{endpoint}"),
        format!("/v1/{endpoint}/"),
        format!("/{endpoint}"),
        format!("/{endpoint}/"),
    ]
}
