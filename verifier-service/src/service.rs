//! The gRPC service: generated types on one side, domain types on the other.

use std::sync::Arc;

use proto::{
    verifier::{CheckPair, Generate, Part},
    wire::verifier::v1::{
        CheckPairRequest, CheckPairResponse, DescribeRequest, DescribeResponse, GenerateRequest,
        GenerateResponse, verifier_server,
    },
};
use tokio_stream::{StreamExt as _, adapters::Map, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use crate::{
    error::{CheckPairError, GenerateError},
    verification::Verifier,
};

/// A part of a reply, or the error that ends it.
type Reply = Result<Part, GenerateError>;

/// Implementation of the service.
pub(crate) struct VerifierService {
    verifier: Arc<Verifier>,
}

impl VerifierService {
    pub(crate) fn new(verifier: Arc<Verifier>) -> Self {
        Self { verifier }
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
        let request = Generate::try_from(request.into_inner()).map_err(GenerateError::from);
        let request = request.inspect_err(|error| self.verifier.refused(error))?;
        let parts = self.verifier.admit(request).await?.start();
        let outgoing: fn(Reply) -> Result<GenerateResponse, Status> = outgoing;
        Ok(Response::new(ReceiverStream::new(parts).map(outgoing)))
    }
}

fn outgoing(reply: Reply) -> Result<GenerateResponse, Status> {
    Ok(reply?.into())
}
