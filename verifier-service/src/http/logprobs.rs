//! Log probabilities in both shapes that OpenAI's clients know.

use proto::verifier::{ScoredToken, TokenLogprob};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::endpoint::Endpoint;

/// Log probability of an impossible token: JSON has no infinity.
const IMPOSSIBLE: f32 = -9999.0;

/// Tokens of a choice, or of a chunk of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Logprobs {
    /// Shape of chats.
    Chat {
        content: Vec<Token>,
        refusal: Option<()>,
    },
    /// Shape of plain completions.
    Completions {
        tokens: Vec<String>,
        /// Null where nothing is before the token.
        token_logprobs: Vec<Option<f32>>,
        top_logprobs: Vec<Option<Top>>,
        text_offset: Vec<usize>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Token {
    #[serde(flatten)]
    itself: Scored,
    top_logprobs: Vec<Scored>,
}

#[derive(Debug, Serialize)]
struct Scored {
    token: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
}

/// Tokens with their log probabilities: an object that keeps their order.
#[derive(Debug)]
pub(super) struct Top(Vec<(String, f32)>);

impl Logprobs {
    /// Tokens in the shape of `endpoint`. `offset` is the number of characters of the choice's tokens so far, and is moved on.
    pub(super) fn new(endpoint: Endpoint, tokens: Vec<TokenLogprob>, offset: &mut usize) -> Self {
        match endpoint {
            Endpoint::Chat => Self::Chat {
                content: tokens.into_iter().map(Token::from).collect(),
                refusal: None,
            },
            Endpoint::Completions => {
                let texts: Vec<String> = tokens.iter().map(|t| spelled(&t.token)).collect();
                let place = |text: &String| {
                    let place = *offset;
                    *offset += text.chars().count();
                    place
                };
                Self::Completions {
                    text_offset: texts.iter().map(place).collect(),
                    token_logprobs: tokens
                        .iter()
                        .map(|t| Some(finite(t.token.logprob)))
                        .collect(),
                    top_logprobs: tokens.iter().map(|t| Some(Top::from(t))).collect(),
                    tokens: texts,
                }
            }
        }
    }
}

impl Logprobs {
    /// The same for tokens of which the first begins the text: nothing is before it that would give it a probability.
    pub(super) fn without_first(mut self) -> Self {
        if let Self::Completions {
            token_logprobs,
            top_logprobs,
            ..
        } = &mut self
        {
            token_logprobs.first_mut().map(Option::take);
            top_logprobs.first_mut().map(Option::take);
        }
        self
    }
}

impl From<TokenLogprob> for Token {
    fn from(token: TokenLogprob) -> Self {
        Self {
            itself: token.token.into(),
            top_logprobs: token.top.into_iter().map(Scored::from).collect(),
        }
    }
}

impl From<ScoredToken> for Scored {
    fn from(token: ScoredToken) -> Self {
        let text = String::from_utf8_lossy(&token.bytes).into_owned();
        Self {
            logprob: finite(token.logprob),
            bytes: Some(token.bytes).filter(|bytes| !bytes.is_empty()),
            token: token.control.unwrap_or(text),
        }
    }
}

impl From<&TokenLogprob> for Top {
    fn from(token: &TokenLogprob) -> Self {
        let entry = |token: &ScoredToken| (spelled(token), finite(token.logprob));
        Self(token.top.iter().map(entry).collect())
    }
}

impl Serialize for Top {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (token, logprob) in &self.0 {
            map.serialize_entry(token, logprob)?;
        }
        map.end()
    }
}

/// Text of a token that no other token has, even if its bytes are no text.
fn spelled(token: &ScoredToken) -> String {
    match (&token.control, std::str::from_utf8(&token.bytes)) {
        (Some(name), _) => name.clone(),
        (None, Ok(text)) => text.to_owned(),
        (None, Err(_)) => {
            let bytes = token.bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            format!("bytes:{}", bytes.collect::<String>())
        }
    }
}

fn finite(logprob: f32) -> f32 {
    logprob.max(IMPOSSIBLE)
}
