//! A request for one reply.

use super::grammar::Grammar;
use crate::{
    ProtocolError, check, limits,
    model::{Prompt, Sampling},
    wire::verifier::v1 as wire,
};

const LOGIT_BIAS: std::ops::RangeInclusive<f32> = -100.0..=100.0;

/// A request for one reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Generate {
    /// Prompt that the reply answers.
    pub prompt: Prompt,
    /// Completion tokens at most; `None` for the verifier's limit. 0: only the prompt is read.
    pub max_tokens: Option<u32>,
    /// Sampling of tokens.
    pub sampling: Sampling,
    /// Added to logits, by id of the target's vocabulary; ascending, each id once.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of all randomness; `None`: the verifier picks one.
    pub seed: Option<u64>,
    /// The reply ends before the first of these.
    pub stop: Vec<String>,
    /// Use of drafters.
    pub speculation: Speculation,
    /// True if the request is refused unless a drafter is in use when it begins. Ignored where speculation is off.
    pub requires_drafter: bool,
    /// Opaque, for logs and traces; `None`: the verifier makes one.
    pub request_id: Option<String>,
    /// What chunks report of their round.
    pub rounds: RoundReport,
    /// Number of likeliest tokens sent with each token of the reply, at most 20; `None`: tokens are not sent.
    pub top_logprobs: Option<u32>,
    /// Grammar that the reply follows.
    pub grammar: Option<Grammar>,
    /// Ends of the reply.
    pub ends: Ends,
    /// True if control tokens of the reply are sent by name.
    pub include_control: bool,
    /// True if the reply begins with [`Reading`](super::Reading).
    pub include_reading: bool,
    /// Number of likeliest tokens sent with each token of the prompt, at most 20; `None`: tokens are not sent.
    pub prompt_logprobs: Option<u32>,
    /// Text that the reply may resemble; empty: none.
    pub prediction: String,
}

/// Ends of a reply besides stop strings and the model's own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ends {
    /// Completion tokens before which the reply does not end.
    pub min_tokens: u32,
    /// True if the model's own ends have no probability.
    pub ignore_end: bool,
    /// Tokens that end the reply.
    pub stop_tokens: Vec<u32>,
    /// True if the stop string or stop token is sent, too.
    pub include_stop: bool,
}

/// Use of drafters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Speculation {
    /// Plain decoding.
    Off,
    /// Drafters help whenever that is faster.
    Auto {
        /// Acceptance method; `None`: the verifier chooses a lossless one.
        method: Option<String>,
        /// Draft tokens of every block; `None`: adapted to what pays. Never 0.
        block_tokens: Option<u32>,
        /// True if a method that is not lossless may be used.
        allow_lossy: bool,
        /// Alternatives of every block; `None`: adapted to what pays where `block_tokens` is `None`, else 0.
        alternatives: Option<u32>,
    },
}

/// What chunks report of their round.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RoundReport {
    /// Nothing.
    #[default]
    Nothing,
    /// Counts and times.
    Counts,
    /// The same and each token.
    Details,
}

impl RoundReport {
    fn of(rounds: bool, details: bool) -> Self {
        match (rounds, details) {
            (_, true) => Self::Details,
            (true, false) => Self::Counts,
            (false, false) => Self::Nothing,
        }
    }
}

impl Generate {
    /// A request with nothing but a prompt: the model's own distribution, the verifier's limits, speculation on.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            max_tokens: None,
            sampling: Sampling::default(),
            logit_bias: Vec::new(),
            seed: None,
            stop: Vec::new(),
            speculation: Speculation::auto(),
            requires_drafter: false,
            request_id: None,
            rounds: RoundReport::Nothing,
            top_logprobs: None,
            grammar: None,
            ends: Ends::default(),
            include_control: false,
            include_reading: false,
            prompt_logprobs: None,
            prediction: String::new(),
        }
    }

    /// The request as whoever receives it would see it, or what it would be refused for: for those who make one from what
    /// others have sent them.
    pub fn validated(self) -> Result<Self, ProtocolError> {
        wire::GenerateRequest::from(self).try_into()
    }
}

impl Speculation {
    /// Method and block length are the verifier's choice.
    pub fn auto() -> Self {
        Self::Auto {
            method: None,
            block_tokens: None,
            allow_lossy: false,
            alternatives: None,
        }
    }
}

impl TryFrom<wire::GenerateRequest> for Generate {
    type Error = ProtocolError;

    fn try_from(request: wire::GenerateRequest) -> Result<Self, ProtocolError> {
        let prompt = check::required(
            "prompt",
            request.prompt,
            "a text, a conversation, token ids or a text with a gap",
        )?;
        let sampling = request.sampling.unwrap_or_default();
        check::size("stop", request.stop.len(), 0..=limits::MAX_STOPS, "strings")?;
        for (i, stop) in request.stop.iter().enumerate() {
            check::size(
                &format!("stop[{i}]"),
                stop.len(),
                1..=limits::MAX_STOP_BYTES,
                "bytes",
            )?;
        }
        for (field, count) in [
            ("top_logprobs", request.top_logprobs),
            ("prompt_logprobs", request.prompt_logprobs),
        ] {
            check::within(field, count.unwrap_or(0), 0..=limits::MAX_TOP_LOGPROBS)?;
        }
        let stop_tokens = request.stop_tokens.len();
        check::size(
            "stop_tokens",
            stop_tokens,
            0..=limits::MAX_STOP_TOKENS,
            "ids",
        )?;
        let most = request.max_tokens.unwrap_or(u32::MAX);
        check::within("min_tokens", request.min_tokens, 0..=most)?;
        let prediction = request.prediction.len();
        check::size(
            "prediction",
            prediction,
            0..=limits::MAX_PREDICTION_BYTES,
            "bytes",
        )?;
        let grammar = request.grammar.map(Grammar::try_from).transpose();
        let speculation = request.speculation.unwrap_or_default();
        let requires_drafter = speculation.mode == i32::from(wire::SpeculationMode::Required);
        let request_id = check::identifier("request_id", request.request_id, 0)?;
        Ok(Self {
            prompt: Prompt::try_from(prompt).map_err(|e| e.within("prompt"))?,
            max_tokens: request.max_tokens,
            sampling: Sampling::try_from(sampling).map_err(|e| e.within("sampling"))?,
            logit_bias: logit_bias(request.logit_bias)?,
            seed: request.seed,
            stop: request.stop,
            speculation: Speculation::try_from(speculation).map_err(|e| e.within("speculation"))?,
            requires_drafter,
            request_id: Some(request_id).filter(|id| !id.is_empty()),
            rounds: RoundReport::of(request.include_rounds, request.include_round_details),
            top_logprobs: request.top_logprobs,
            grammar: grammar.map_err(|e| e.within("grammar"))?,
            ends: Ends {
                min_tokens: request.min_tokens,
                ignore_end: request.ignore_end,
                stop_tokens: request.stop_tokens,
                include_stop: request.include_stop,
            },
            include_control: request.include_control,
            include_reading: request.include_reading || request.prompt_logprobs.is_some(),
            prompt_logprobs: request.prompt_logprobs,
            prediction: request.prediction,
        })
    }
}

fn logit_bias(
    biases: std::collections::HashMap<u32, f32>,
) -> Result<Vec<(u32, f32)>, ProtocolError> {
    check::size(
        "logit_bias",
        biases.len(),
        0..=limits::MAX_LOGIT_BIASES,
        "entries",
    )?;
    let mut biases: Vec<_> = biases.into_iter().collect();
    biases.sort_unstable_by_key(|&(id, _)| id);
    for &(id, bias) in &biases {
        check::within(&format!("logit_bias[{id}]"), bias, LOGIT_BIAS)?;
    }
    Ok(biases)
}

impl From<Generate> for wire::GenerateRequest {
    fn from(request: Generate) -> Self {
        let mut speculation = wire::Speculation::from(request.speculation);
        if request.requires_drafter && speculation.mode == i32::from(wire::SpeculationMode::Auto) {
            speculation.mode = wire::SpeculationMode::Required.into();
        }
        Self {
            prompt: Some(request.prompt.into()),
            max_tokens: request.max_tokens,
            sampling: Some(request.sampling.into()),
            logit_bias: request.logit_bias.into_iter().collect(),
            seed: request.seed,
            stop: request.stop,
            speculation: Some(speculation),
            request_id: request.request_id.unwrap_or_default(),
            include_rounds: request.rounds != RoundReport::Nothing,
            include_round_details: request.rounds == RoundReport::Details,
            top_logprobs: request.top_logprobs,
            grammar: request.grammar.map(Into::into),
            min_tokens: request.ends.min_tokens,
            ignore_end: request.ends.ignore_end,
            stop_tokens: request.ends.stop_tokens,
            include_stop: request.ends.include_stop,
            include_control: request.include_control,
            include_reading: request.include_reading,
            prompt_logprobs: request.prompt_logprobs,
            prediction: request.prediction,
        }
    }
}

impl TryFrom<wire::Speculation> for Speculation {
    type Error = ProtocolError;

    fn try_from(speculation: wire::Speculation) -> Result<Self, ProtocolError> {
        let method = speculation
            .method
            .map(|name| check::method("method", name))
            .transpose()?;
        if let Some(tokens) = speculation.block_tokens {
            check::within("block_tokens", tokens, 1..=limits::MAX_BLOCK_TOKENS)?;
        }
        if let Some(alternatives) = speculation.alternatives {
            let most = limits::MAX_REQUESTED_ALTERNATIVES;
            check::within("alternatives", alternatives, 0..=most)?;
        }
        Ok(match check::known("mode", speculation.mode)? {
            wire::SpeculationMode::Off => Self::Off,
            wire::SpeculationMode::Unspecified
            | wire::SpeculationMode::Auto
            | wire::SpeculationMode::Required => Self::Auto {
                method,
                block_tokens: speculation.block_tokens,
                allow_lossy: speculation.allow_lossy,
                alternatives: speculation.alternatives,
            },
        })
    }
}

impl From<Speculation> for wire::Speculation {
    fn from(speculation: Speculation) -> Self {
        match speculation {
            Speculation::Off => Self {
                mode: wire::SpeculationMode::Off.into(),
                ..Self::default()
            },
            Speculation::Auto {
                method,
                block_tokens,
                allow_lossy,
                alternatives,
            } => Self {
                mode: wire::SpeculationMode::Auto.into(),
                method,
                block_tokens,
                allow_lossy,
                alternatives,
            },
        }
    }
}
