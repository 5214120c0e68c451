//! Choice of a token from the logits. Fields absent on the wire have their defaults here.

use crate::{ProtocolError, check, wire::model::v1 as wire};

const TEMPERATURE: std::ops::RangeInclusive<f32> = 0.0..=2.0;
const OCCURRENCE_PENALTY: std::ops::RangeInclusive<f32> = -2.0..=2.0;
const MAX_REPETITION_PENALTY: f32 = 10.0;

/// The steps from logits to a distribution. The default is the model's own distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Keeps the k likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the likeliest one's probability; 0 keeps all.
    pub min_p: f32,
    /// Weakens tokens seen in prompt or reply; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Taken off for each occurrence in the reply.
    pub frequency_penalty: f32,
    /// Taken off once for a token that occurs in the reply.
    pub presence_penalty: f32,
}

impl Sampling {
    /// The likeliest token each time.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
        }
    }
}

impl TryFrom<wire::Sampling> for Sampling {
    type Error = ProtocolError;

    fn try_from(wire: wire::Sampling) -> Result<Self, ProtocolError> {
        let repetition = wire.repetition_penalty.unwrap_or(1.0);
        let frequency = wire.frequency_penalty;
        let presence = wire.presence_penalty;
        Ok(Self {
            temperature: check::within(
                "temperature",
                wire.temperature.unwrap_or(1.0),
                TEMPERATURE,
            )?,
            top_k: wire.top_k,
            top_p: check::positive("top_p", wire.top_p.unwrap_or(1.0), 1.0)?,
            min_p: check::within("min_p", wire.min_p, 0.0..=1.0)?,
            repetition_penalty: check::positive(
                "repetition_penalty",
                repetition,
                MAX_REPETITION_PENALTY,
            )?,
            frequency_penalty: check::within("frequency_penalty", frequency, OCCURRENCE_PENALTY)?,
            presence_penalty: check::within("presence_penalty", presence, OCCURRENCE_PENALTY)?,
        })
    }
}

impl From<Sampling> for wire::Sampling {
    fn from(sampling: Sampling) -> Self {
        Self {
            temperature: Some(sampling.temperature),
            top_k: sampling.top_k,
            top_p: Some(sampling.top_p),
            min_p: sampling.min_p,
            repetition_penalty: Some(sampling.repetition_penalty),
            frequency_penalty: sampling.frequency_penalty,
            presence_penalty: sampling.presence_penalty,
        }
    }
}
