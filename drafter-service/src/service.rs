//! The gRPC service: generated types on one side, domain types on the other, and a task for each session.

use std::sync::Arc;

use proto::{
    drafter::{FromDrafter, ToDrafter, VocabularyRequest},
    wire::drafter::v1::{
        self as wire, DescribeRequest, DescribeResponse, DraftRequest, DraftResponse,
        drafter_server,
    },
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, adapters::Map, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Instrument as _;

use crate::{drafting::Drafter, error::DraftError};

/// Most messages of a session that wait to be sent: a little more than its credit.
const OUTBOX: usize = 4;

/// A message of a session, or the error that ends it.
type Reply = Result<FromDrafter, DraftError>;

/// Implementation of the service.
pub(crate) struct DrafterService {
    drafter: Arc<Drafter>,
}

impl DrafterService {
    pub(crate) fn new(drafter: Arc<Drafter>) -> Self {
        Self { drafter }
    }
}

#[tonic::async_trait]
impl drafter_server::Drafter for DrafterService {
    type DraftStream = Map<ReceiverStream<Reply>, fn(Reply) -> Result<DraftResponse, Status>>;

    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        Ok(Response::new(self.drafter.describe().into()))
    }

    async fn vocabulary(
        &self,
        request: Request<wire::VocabularyRequest>,
    ) -> Result<Response<wire::VocabularyResponse>, Status> {
        let request = VocabularyRequest::try_from(request.into_inner())?;
        let page = self.drafter.vocabulary(request)?;
        Ok(Response::new(page.into()))
    }

    async fn draft(
        &self,
        request: Request<Streaming<DraftRequest>>,
    ) -> Result<Response<Self::DraftStream>, Status> {
        if self.drafter.is_stopping() {
            return Err(DraftError::Stopping.into());
        }
        let inbox = request.into_inner().map(incoming);
        let (outbox, replies) = mpsc::channel(OUTBOX);
        let stream = self.drafter.stream(Box::pin(inbox), outbox);
        // A child of the call's span, which continues the trace of the verifier.
        let span = tracing::info_span!("draft.session", session = tracing::field::Empty);
        let session = Arc::clone(&self.drafter).converse(stream).instrument(span);
        self.drafter.tasks().spawn(session);
        let outgoing: fn(Reply) -> Result<DraftResponse, Status> = outgoing;
        Ok(Response::new(ReceiverStream::new(replies).map(outgoing)))
    }
}

/// A message from the verifier. One that cannot be decoded is reported to it; a broken stream means that it is gone.
fn incoming(message: Result<DraftRequest, Status>) -> Result<ToDrafter, DraftError> {
    let message = message.map_err(|status| match status.code() {
        Code::OutOfRange | Code::Internal => DraftError::Undecodable(status.message().to_owned()),
        _ => DraftError::Cancelled,
    })?;
    Ok(ToDrafter::try_from(message)?)
}

fn outgoing(reply: Reply) -> Result<DraftResponse, Status> {
    Ok(reply?.into())
}
