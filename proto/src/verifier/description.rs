//! Description of a verifier and its drafters.

use std::time::Duration;

use crate::{
    ProtocolError, check,
    model::{self, Build, Fingerprint, Method, Model},
    wire::verifier::v1 as wire,
};

/// Description of a verifier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    /// Who answers.
    pub build: Build,
    /// The target model.
    pub model: Model,
    /// Methods it can verify by.
    pub methods: Vec<Method>,
    /// Limits of every request.
    pub limits: Limits,
    /// Configured drafters.
    pub drafters: Vec<DrafterStatus>,
    /// Requests in progress now.
    pub sessions: u32,
}

/// Limits of a verifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests at once.
    pub max_sessions: u32,
    /// Completion tokens of a request.
    pub max_tokens: u32,
    /// Bytes of a prompt's content.
    pub max_prompt_bytes: u32,
    /// Candidate tokens verified in one round.
    pub max_block_tokens: u32,
}

/// A drafter as the verifier sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DrafterStatus {
    /// Address from the configuration.
    pub address: String,
    /// State of its use.
    pub state: DrafterState,
    /// Name of its model; `None`: never reached.
    pub model: Option<String>,
    /// Fingerprint of its tokenizer; `None`: never reached.
    pub tokenizer_fingerprint: Option<Fingerprint>,
    /// Smoothed round trip without compute; `None`: not measured.
    pub round_trip: Option<Duration>,
    /// Sessions open with it.
    pub sessions: u32,
    /// Last thing that went wrong with it.
    pub last_error: Option<String>,
}

/// State of a drafter's use.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DrafterState {
    /// Being connected to.
    Connecting,
    /// In use.
    Ready,
    /// Left alone after failures.
    BreakerOpen,
    /// Cannot be reached.
    Unreachable,
    /// Does not fit: protocol version, methods or fingerprint.
    Incompatible,
}

impl TryFrom<wire::DescribeResponse> for Description {
    type Error = ProtocolError;

    fn try_from(response: wire::DescribeResponse) -> Result<Self, ProtocolError> {
        let build = check::required("build", response.build, "present")?;
        let model = check::required("model", response.model, "present")?;
        let limits = check::required("limits", response.limits, "present")?;
        let drafters = response
            .drafters
            .into_iter()
            .enumerate()
            .map(|(i, drafter)| {
                DrafterStatus::try_from(drafter).map_err(|e| e.within(&format!("drafters[{i}]")))
            });
        Ok(Self {
            build: Build::try_from(build).map_err(|e| e.within("build"))?,
            model: Model::try_from(model).map_err(|e| e.within("model"))?,
            methods: model::methods(response.methods)?,
            limits: Limits::try_from(limits).map_err(|e| e.within("limits"))?,
            drafters: drafters.collect::<Result<_, _>>()?,
            sessions: response.sessions,
        })
    }
}

impl From<Description> for wire::DescribeResponse {
    fn from(description: Description) -> Self {
        Self {
            build: Some(description.build.into()),
            model: Some(description.model.into()),
            methods: description.methods.into_iter().map(Into::into).collect(),
            limits: Some(description.limits.into()),
            drafters: description.drafters.into_iter().map(Into::into).collect(),
            sessions: description.sessions,
        }
    }
}

impl TryFrom<wire::Limits> for Limits {
    type Error = ProtocolError;

    fn try_from(limits: wire::Limits) -> Result<Self, ProtocolError> {
        let some = 1..=u32::MAX;
        let (bytes, tokens) = (limits.max_prompt_bytes, limits.max_block_tokens);
        Ok(Self {
            max_sessions: check::within("max_sessions", limits.max_sessions, some.clone())?,
            max_tokens: check::within("max_tokens", limits.max_tokens, some.clone())?,
            max_prompt_bytes: check::within("max_prompt_bytes", bytes, some.clone())?,
            max_block_tokens: check::within("max_block_tokens", tokens, some)?,
        })
    }
}

impl From<Limits> for wire::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            max_sessions: limits.max_sessions,
            max_tokens: limits.max_tokens,
            max_prompt_bytes: limits.max_prompt_bytes,
            max_block_tokens: limits.max_block_tokens,
        }
    }
}

impl TryFrom<wire::DrafterStatus> for DrafterStatus {
    type Error = ProtocolError;

    fn try_from(status: wire::DrafterStatus) -> Result<Self, ProtocolError> {
        let state = match check::known("state", status.state)? {
            wire::DrafterState::Unspecified => {
                return Err(check::unspecified("state", status.state));
            }
            wire::DrafterState::Connecting => DrafterState::Connecting,
            wire::DrafterState::Ready => DrafterState::Ready,
            wire::DrafterState::BreakerOpen => DrafterState::BreakerOpen,
            wire::DrafterState::Unreachable => DrafterState::Unreachable,
            wire::DrafterState::Incompatible => DrafterState::Incompatible,
        };
        let fingerprint = Some(status.tokenizer_fingerprint).filter(|bytes| !bytes.is_empty());
        let round_trip = Some(status.round_trip_micros).filter(|&micros| micros > 0);
        Ok(Self {
            address: status.address,
            state,
            model: Some(status.model).filter(|name| !name.is_empty()),
            tokenizer_fingerprint: fingerprint
                .map(|bytes| check::fingerprint("tokenizer_fingerprint", &bytes).map(Fingerprint))
                .transpose()?,
            round_trip: round_trip.map(Duration::from_micros),
            sessions: status.sessions,
            last_error: Some(status.last_error).filter(|text| !text.is_empty()),
        })
    }
}

impl From<DrafterStatus> for wire::DrafterStatus {
    fn from(status: DrafterStatus) -> Self {
        let state = match status.state {
            DrafterState::Connecting => wire::DrafterState::Connecting,
            DrafterState::Ready => wire::DrafterState::Ready,
            DrafterState::BreakerOpen => wire::DrafterState::BreakerOpen,
            DrafterState::Unreachable => wire::DrafterState::Unreachable,
            DrafterState::Incompatible => wire::DrafterState::Incompatible,
        };
        let fingerprint = status.tokenizer_fingerprint.map(|f| f.0.to_vec());
        Self {
            address: status.address,
            state: state.into(),
            model: status.model.unwrap_or_default(),
            tokenizer_fingerprint: fingerprint.unwrap_or_default(),
            round_trip_micros: status.round_trip.map_or(0, check::micros),
            sessions: status.sessions,
            last_error: status.last_error.unwrap_or_default(),
        }
    }
}
