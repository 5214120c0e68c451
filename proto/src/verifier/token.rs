//! Tokens of a reply with their log probabilities.

use crate::{ProtocolError, check, limits, wire::verifier::v1 as wire};

/// A token of the reply and the likeliest ones at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: ScoredToken,
    /// The likeliest tokens, falling.
    pub top: Vec<ScoredToken>,
}

/// A token with its log probability.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// Its bytes; none where it has no text.
    pub bytes: Vec<u8>,
    /// Its name, if it is a control token.
    pub control: Option<String>,
    /// Natural logarithm of its probability; minus infinity where it is impossible.
    pub logprob: f32,
    /// Its id in the target's vocabulary.
    pub id: u32,
}

impl TryFrom<wire::TokenLogprob> for TokenLogprob {
    type Error = ProtocolError;

    fn try_from(token: wire::TokenLogprob) -> Result<Self, ProtocolError> {
        let itself = check::required("token", token.token, "present")?;
        let most = limits::MAX_TOP_LOGPROBS as usize;
        check::size("top", token.top.len(), 0..=most, "tokens")?;
        let top: Result<_, _> = token.top.into_iter().map(ScoredToken::try_from).collect();
        Ok(Self {
            token: ScoredToken::try_from(itself).map_err(|e| e.within("token"))?,
            top: top.map_err(|e: ProtocolError| e.within("top"))?,
        })
    }
}

impl From<TokenLogprob> for wire::TokenLogprob {
    fn from(token: TokenLogprob) -> Self {
        Self {
            token: Some(token.token.into()),
            top: token.top.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::ScoredToken> for ScoredToken {
    type Error = ProtocolError;

    fn try_from(token: wire::ScoredToken) -> Result<Self, ProtocolError> {
        if token.logprob.is_nan() {
            let expected = "a number or minus infinity";
            return Err(ProtocolError::invalid("logprob", "not a number", expected));
        }
        Ok(Self {
            bytes: token.bytes,
            control: Some(token.control).filter(|name| !name.is_empty()),
            logprob: token.logprob,
            id: token.id,
        })
    }
}

impl From<ScoredToken> for wire::ScoredToken {
    fn from(token: ScoredToken) -> Self {
        Self {
            bytes: token.bytes,
            control: token.control.unwrap_or_default(),
            logprob: token.logprob,
            id: token.id,
        }
    }
}
