//! The drafter's side of the wire: one session is one stream of [`ToDrafter`] one way and [`FromDrafter`] the other.

mod block;
mod client;
mod description;
mod session;
mod verdict;
mod vocabulary;
mod wish;

pub use block::{Block, DraftTimings, Draw, EndRole, SparseDistribution, Way};
pub use client::{Blocks, Client, DraftSession, Traffic, Verdicts};
pub use description::{Description, Limits};
pub use session::{CloseReason, Failure, FailureCode, Open, Opened};
pub use verdict::Verdict;
pub use vocabulary::{VocabularyPage, VocabularyRequest, VocabularyTable};
pub use wish::Wish;

use crate::{
    ProtocolError, check, limits,
    wire::drafter::v1::{
        self as wire, draft_request, draft_response,
        drafter_server::{Drafter, DrafterServer},
    },
};

/// Version of this protocol.
pub const PROTOCOL_VERSION: u32 = 3;

/// The service for a tonic server, with the limits on messages that both sides share.
pub fn server<T: Drafter>(service: T) -> DrafterServer<T> {
    DrafterServer::new(service)
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}

/// A message from the verifier.
#[derive(Clone, Debug, PartialEq)]
pub enum ToDrafter {
    /// First, once.
    Open(Box<Open>),
    /// Outcome of a round.
    Verdict(Verdict),
    /// Last.
    Close(CloseReason),
}

/// A message from the drafter.
#[derive(Clone, Debug, PartialEq)]
pub enum FromDrafter {
    /// First, once.
    Opened(Opened),
    /// A proposal.
    Block(Block),
    /// One thing that went wrong.
    Failure(Failure),
}

impl TryFrom<wire::DraftRequest> for ToDrafter {
    type Error = ProtocolError;

    fn try_from(request: wire::DraftRequest) -> Result<Self, ProtocolError> {
        use draft_request::Message;
        match check::required("message", request.message, "open, a verdict or close")? {
            Message::Open(open) => Open::try_from(open)
                .map(|open| Self::Open(Box::new(open)))
                .map_err(|e| e.within("open")),
            Message::Verdict(verdict) => Verdict::try_from(verdict)
                .map(Self::Verdict)
                .map_err(|e| e.within("verdict")),
            Message::Close(close) => CloseReason::try_from(close)
                .map(Self::Close)
                .map_err(|e| e.within("close")),
        }
    }
}

impl From<ToDrafter> for wire::DraftRequest {
    fn from(message: ToDrafter) -> Self {
        use draft_request::Message;
        let message = match message {
            ToDrafter::Open(open) => Message::Open((*open).into()),
            ToDrafter::Verdict(verdict) => Message::Verdict(verdict.into()),
            ToDrafter::Close(reason) => Message::Close(reason.into()),
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<wire::DraftResponse> for FromDrafter {
    type Error = ProtocolError;

    fn try_from(response: wire::DraftResponse) -> Result<Self, ProtocolError> {
        use draft_response::Message;
        match check::required("message", response.message, "opened, a block or a failure")? {
            Message::Opened(opened) => Opened::try_from(opened)
                .map(Self::Opened)
                .map_err(|e| e.within("opened")),
            Message::Block(block) => Block::try_from(block)
                .map(Self::Block)
                .map_err(|e| e.within("block")),
            Message::Failure(failure) => Failure::try_from(failure)
                .map(Self::Failure)
                .map_err(|e| e.within("failure")),
        }
    }
}

impl From<FromDrafter> for wire::DraftResponse {
    fn from(message: FromDrafter) -> Self {
        use draft_response::Message;
        let message = match message {
            FromDrafter::Opened(opened) => Message::Opened(opened.into()),
            FromDrafter::Block(block) => Message::Block(block.into()),
            FromDrafter::Failure(failure) => Message::Failure(failure.into()),
        };
        Self {
            message: Some(message),
        }
    }
}
