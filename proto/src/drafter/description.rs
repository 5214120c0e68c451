//! Description of a drafter.

use crate::{
    ProtocolError, check,
    model::{self, Build, Method, Model},
    wire::drafter::v1 as wire,
};

/// Description of a drafter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    /// Program that answers.
    pub build: Build,
    /// The draft model.
    pub model: Model,
    /// Methods it can draft for.
    pub methods: Vec<Method>,
    /// Limits of every session.
    pub limits: Limits,
    /// Sessions open now.
    pub sessions: u32,
}

/// Limits of a drafter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Sessions at once.
    pub max_sessions: u32,
    /// Draft tokens of a block.
    pub max_block_tokens: u32,
    /// Bytes of a block.
    pub max_block_bytes: u32,
    /// Unanswered blocks of one session.
    pub max_credit: u32,
    /// Bytes of a prompt's content.
    pub max_prompt_bytes: u32,
}

impl TryFrom<wire::DescribeResponse> for Description {
    type Error = ProtocolError;

    fn try_from(response: wire::DescribeResponse) -> Result<Self, ProtocolError> {
        let build = check::required("build", response.build, "present")?;
        let model = check::required("model", response.model, "present")?;
        let limits = check::required("limits", response.limits, "present")?;
        Ok(Self {
            build: Build::try_from(build).map_err(|e| e.within("build"))?,
            model: Model::try_from(model).map_err(|e| e.within("model"))?,
            methods: model::methods(response.methods)?,
            limits: Limits::try_from(limits).map_err(|e| e.within("limits"))?,
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
            sessions: description.sessions,
        }
    }
}

impl TryFrom<wire::Limits> for Limits {
    type Error = ProtocolError;

    fn try_from(limits: wire::Limits) -> Result<Self, ProtocolError> {
        let some = 1..=u32::MAX;
        let (tokens, bytes) = (limits.max_block_tokens, limits.max_block_bytes);
        Ok(Self {
            max_sessions: check::within("max_sessions", limits.max_sessions, some.clone())?,
            max_block_tokens: check::within("max_block_tokens", tokens, some.clone())?,
            max_block_bytes: check::within("max_block_bytes", bytes, some.clone())?,
            max_credit: check::within("max_credit", limits.max_credit, some.clone())?,
            max_prompt_bytes: check::within("max_prompt_bytes", limits.max_prompt_bytes, some)?,
        })
    }
}

impl From<Limits> for wire::Limits {
    fn from(limits: Limits) -> Self {
        Self {
            max_sessions: limits.max_sessions,
            max_block_tokens: limits.max_block_tokens,
            max_block_bytes: limits.max_block_bytes,
            max_credit: limits.max_credit,
            max_prompt_bytes: limits.max_prompt_bytes,
        }
    }
}
