//! The client of a verifier.

use tokio_stream::StreamExt as _;
use tonic::{Request, Streaming, transport::Channel};

use super::{CheckPair, CheckedPair, Description, Generate, Part};
use crate::{
    ClientError, ProtocolError, limits,
    wire::verifier::v1::{self as wire, verifier_client::VerifierClient},
};

/// A verifier, reached over a channel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: VerifierClient<Channel>,
}

/// A reply as it arrives. Dropping it cancels the request.
///
/// Behind `Finish` read on to the end. Of streams that are dropped before that has come, many at a time, h2 forgets some and counts what
/// still comes for them as faults; after 1,024 it gives up the connection with all other replies on it.
#[derive(Debug)]
pub struct Reply {
    messages: Streaming<wire::GenerateResponse>,
    finished: bool,
}

impl Client {
    /// A client with the limits on messages that both sides share. Connects at the first call if the channel is lazy.
    pub fn new(channel: Channel) -> Self {
        let inner = VerifierClient::new(channel)
            .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
            .max_encoding_message_size(limits::MAX_MESSAGE_BYTES);
        Self { inner }
    }

    /// Asks what the verifier is. The request carries the caller's metadata.
    pub async fn describe(&mut self, request: Request<()>) -> Result<Description, ClientError> {
        let request = request.map(|()| wire::DescribeRequest {});
        let response = self.inner.describe(request).await?.into_inner();
        Ok(Description::try_from(response)?)
    }

    /// Asks how well a drafter goes with the verifier. The request carries the caller's metadata.
    pub async fn check_pair(
        &mut self,
        request: Request<CheckPair>,
    ) -> Result<CheckedPair, ClientError> {
        let request = request.map(wire::CheckPairRequest::from);
        let response = self.inner.check_pair(request).await?.into_inner();
        Ok(CheckedPair::try_from(response)?)
    }

    /// Asks for a reply. The request carries the caller's metadata.
    pub async fn generate(&mut self, request: Request<Generate>) -> Result<Reply, ClientError> {
        let request = request.map(wire::GenerateRequest::from);
        let messages = self.inner.generate(request).await?.into_inner();
        Ok(Reply {
            messages,
            finished: false,
        })
    }
}

impl Reply {
    /// The next part; `None` after `Finish`. A stream that ends without it is an error. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Part>, ClientError> {
        let message = self.messages.next().await.transpose()?;
        match message {
            None if self.finished => Ok(None),
            None => Err(ClientError::Ended("the reply is incomplete")),
            Some(_) if self.finished => {
                Err(ProtocolError::invalid("message", "after finish", "absent").into())
            }
            Some(message) => {
                let part = Part::try_from(message)?;
                self.finished = matches!(part, Part::Finish(_));
                Ok(Some(part))
            }
        }
    }
}
