//! The gRPC service: generated types on one side, domain types on the other, and a task for each request.

use std::sync::Arc;

use proto::{
    verifier::{CheckPair, Generate, Part},
    wire::verifier::v1::{
        CheckPairRequest, CheckPairResponse, DescribeRequest, DescribeResponse, GenerateRequest,
        GenerateResponse, verifier_server,
    },
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, adapters::Map, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::{
    error::{CheckPairError, GenerateError},
    verification::Verifier,
};

/// Parts of a reply that may wait to be sent.
const OUTBOX: usize = 16;

/// What a request gets.
type Reply = Result<Part, GenerateError>;

/// The service.
pub(crate) struct VerifierService {
    verifier: Arc<Verifier>,
}

impl VerifierService {
    pub(crate) fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier }
    }

    fn refuse(&self, error: GenerateError) -> Status {
        let outcome = match &error {
            GenerateError::Busy { .. } => "busy",
            GenerateError::Stopping => "stopping",
            GenerateError::Field(_) | GenerateError::Method { .. } | GenerateError::Template(_) => {
                "invalid"
            }
            GenerateError::Unread(_) | GenerateError::Engine(_) | GenerateError::Law(_) => "failed",
        };
        self.verifier.metrics().request(outcome);
        tracing::debug!(%error, "request is refused");
        error.into()
    }
}

#[tonic::async_trait]
impl verifier_server::Verifier for VerifierService {
    type GenerateStream = Map<ReceiverStream<Reply>, fn(Reply) -> Result<GenerateResponse, Status>>;

    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        Ok(Response::new(self.verifier.describe().into()))
    }

    async fn check_pair(
        &self,
        request: Request<CheckPairRequest>,
    ) -> Result<Response<CheckPairResponse>, Status> {
        let request = CheckPair::try_from(request.into_inner()).map_err(CheckPairError::from)?;
        let checked = self.verifier.check_pair(request).await?;
        Ok(Response::new(checked.into()))
    }

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        // A child of the call's span, which continues the trace of the client.
        let span = tracing::info_span!("generate");
        let request =
            Generate::try_from(request.into_inner()).map_err(|error| self.refuse(error.into()))?;
        let admitted = self.verifier.admit(request).instrument(span.clone());
        let session = admitted.await.map_err(|error| self.refuse(error))?;
        let (outbox, parts) = mpsc::channel(OUTBOX);
        let tasks = self.verifier.lifecycle().tasks();
        tasks.spawn(session.run(outbox).instrument(span));
        let outgoing: fn(Reply) -> Result<GenerateResponse, Status> = outgoing;
        Ok(Response::new(ReceiverStream::new(parts).map(outgoing)))
    }
}

fn outgoing(reply: Reply) -> Result<GenerateResponse, Status> {
    Ok(reply?.into())
}
