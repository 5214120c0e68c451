//! The verifier's side of the wire: one request, and the reply as a stream of [`Part`]s.

mod client;
mod description;
mod detail;
mod grammar;
mod pair;
mod reply;
mod request;
mod round;
mod token;
mod usage;

pub use client::{Client, Reply};
pub use description::{Description, DrafterState, DrafterStatus, Limits};
pub use detail::{AlignedGroup, DroppedBlock, RoundClock, RoundDetail, TargetToken};
pub use grammar::{Grammar, GrammarRule};
pub use pair::{
    CheckPair, CheckedPair, Mapping, MethodFit, PairAcceptance, PairFit, PairReport, PairSide,
    RoundTrip,
};
pub use reply::{Chunk, Finish, FinishReason, Origin, Part, Piece, Reading};
pub use request::{Ends, Generate, RoundReport, Speculation};
pub use round::{Proposer, RoundInfo, RoundTimings};
pub use token::{ScoredToken, TokenLogprob};
pub use usage::{FallbackReason, Usage};

use crate::{
    limits,
    wire::verifier::v1::verifier_server::{Verifier, VerifierServer},
};

/// Version of this protocol.
pub const PROTOCOL_VERSION: u32 = 1;

/// The service for a tonic server, with the limits on messages that both sides share.
pub fn server<T: Verifier>(service: T) -> VerifierServer<T> {
    VerifierServer::new(service)
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}
