//! Server of the chat: a verifier over gRPC, or an OpenAI-compatible server over HTTP.

use std::io;

use proto::verifier::{Client, Generate, Piece};

use super::{api::OpenAiClient, conversation::Spent};
use crate::request;

/// Server that answers.
pub(super) enum Server {
    Verifier { client: Client, address: String },
    Api(OpenAiClient),
}

impl Server {
    pub(super) fn verifier(address: &str) -> anyhow::Result<Self> {
        Ok(Self::Verifier {
            client: request::connect(address)?,
            address: address.to_owned(),
        })
    }

    pub(super) async fn api(address: &str) -> anyhow::Result<Self> {
        Ok(Self::Api(OpenAiClient::connect(address).await?))
    }

    /// Asks, and passes each piece to `show` as it arrives. Dropping the future cancels the answer.
    pub(super) async fn ask(
        &mut self,
        request: Generate,
        show: impl FnMut(&Piece) -> io::Result<()>,
    ) -> anyhow::Result<Spent> {
        match self {
            Self::Api(api) => api.ask(request, show).await,
            Self::Verifier { client, address } => {
                let answer = request::ask(client, request, show).await;
                let answer = answer.map_err(|e| e.context(format!("the verifier at {address}")))?;
                let usage = answer.finish.usage;
                Ok(Spent {
                    tokens: usage.completion_tokens,
                    proposed: usage.proposed_tokens,
                    accepted: usage.accepted_tokens,
                    time: usage.prefill + usage.decode,
                })
            }
        }
    }
}
