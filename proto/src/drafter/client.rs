//! The verifier's end of a draft stream. It holds the drafter to the protocol: order, numbering, limits and credit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prost::Message as _;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Streaming, transport::Channel};

use super::{
    Block, CloseReason, Description, FromDrafter, Open, Opened, ToDrafter, Verdict, VocabularyPage,
    VocabularyRequest, VocabularyTable,
};
use crate::{
    ClientError, ProtocolError, limits,
    wire::drafter::v1::{self as wire, drafter_client::DrafterClient},
};

/// Most messages that wait to be sent. A drafter with this many unread ones has stopped reading.
const BACKLOG: usize = 64;
/// Bytes that gRPC puts before each message.
const FRAME_BYTES: u64 = 5;

/// A drafter, reached over a channel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: DrafterClient<Channel>,
}

/// A session that the drafter has opened.
#[derive(Debug)]
pub struct DraftSession {
    /// Terms that the drafter opened it with.
    pub opened: Opened,
    /// To the drafter.
    pub verdicts: Verdicts,
    /// From the drafter.
    pub blocks: Blocks,
}

/// The sending half. Dropping it without [`Verdicts::close`] cancels the session.
#[derive(Debug)]
pub struct Verdicts {
    messages: mpsc::Sender<wire::DraftRequest>,
    answered: Arc<AtomicU64>,
    traffic: Arc<Counters>,
}

/// The receiving half. Dropping it resets the stream.
#[derive(Debug)]
pub struct Blocks {
    messages: Streaming<wire::DraftResponse>,
    opened: Opened,
    max_block_tokens: u32,
    accepts_trees: bool,
    last_round: u64,
    answered: Arc<AtomicU64>,
    traffic: Arc<Counters>,
}

/// Bytes of messages on the wire, gRPC's frames included, HTTP/2's not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// To the drafter.
    pub sent: u64,
    /// From the drafter.
    pub received: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Client {
    /// A client with the limits on messages that both sides share. Connects at the first call if the channel is lazy.
    pub fn new(channel: Channel) -> Self {
        let inner = DrafterClient::new(channel)
            .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
            .max_encoding_message_size(limits::MAX_MESSAGE_BYTES);
        Self { inner }
    }

    /// Asks for the drafter's description. The request carries the caller's metadata.
    pub async fn describe(&mut self, request: Request<()>) -> Result<Description, ClientError> {
        let request = request.map(|()| wire::DescribeRequest {});
        let response = self.inner.describe(request).await?.into_inner();
        Ok(Description::try_from(response)?)
    }

    /// Asks for the draft model's whole vocabulary, page by page. Each request carries the caller's metadata. A vocabulary
    /// that changes on the way is an error; asking again is right.
    pub async fn vocabulary(
        &mut self,
        request: Request<()>,
    ) -> Result<VocabularyTable, ClientError> {
        let (metadata, extensions, ()) = request.into_parts();
        let mut table: Option<VocabularyTable> = None;
        loop {
            let first = table.as_ref().map_or(0, VocabularyTable::size);
            let wanted = VocabularyRequest { first }.into();
            let wanted = Request::from_parts(metadata.clone(), extensions.clone(), wanted);
            let page = self.inner.vocabulary(wanted).await?.into_inner();
            let page = VocabularyPage::try_from(page)?;
            let read = match table {
                None => VocabularyTable::begin(page)?,
                Some(table) => table.extended(page)?,
            };
            if read.is_complete() {
                return Ok(read);
            }
            table = Some(read);
        }
    }

    /// Opens a session and waits until the drafter says that it is open. The request carries the caller's metadata.
    pub async fn draft(&mut self, open: Request<Open>) -> Result<DraftSession, ClientError> {
        let (metadata, extensions, open) = open.into_parts();
        let (max_block_tokens, accepts_trees) = (open.max_block_tokens, open.accepts_trees);
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let answered = Arc::new(AtomicU64::new(0));
        let traffic = Arc::new(Counters::default());
        let verdicts = Verdicts {
            messages: sender,
            answered: answered.clone(),
            traffic: traffic.clone(),
        };
        verdicts.send(ToDrafter::Open(Box::new(open)))?;
        let stream = ReceiverStream::new(receiver);
        let request = Request::from_parts(metadata, extensions, stream);
        let mut messages = self.inner.draft(request).await?.into_inner();
        let opened = match receive(&mut messages, &traffic).await? {
            Some(FromDrafter::Opened(opened)) => opened,
            Some(_) => {
                return Err(out_of_order("another message", "opened, the first message").into());
            }
            None => return Err(ClientError::Ended("the session was never opened")),
        };
        let blocks = Blocks {
            messages,
            opened: opened.clone(),
            max_block_tokens,
            accepts_trees,
            last_round: 0,
            answered,
            traffic,
        };
        Ok(DraftSession {
            opened,
            verdicts,
            blocks,
        })
    }
}

impl Verdicts {
    /// Sends a verdict without waiting.
    pub fn verdict(&self, verdict: Verdict) -> Result<(), ClientError> {
        self.answered.fetch_max(verdict.round, Ordering::AcqRel);
        self.send(ToDrafter::Verdict(verdict))
    }

    /// Ends the session. If the stream has already broken there is nothing left to end.
    pub fn close(self, reason: CloseReason) {
        drop(self.send(ToDrafter::Close(reason)));
    }

    /// Bytes on the wire so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.read()
    }

    fn send(&self, message: ToDrafter) -> Result<(), ClientError> {
        let message = wire::DraftRequest::from(message);
        let bytes = message.encoded_len() as u64 + FRAME_BYTES;
        self.messages
            .try_send(message)
            .map_err(|error| match error {
                TrySendError::Full(_) => ClientError::Backlog(BACKLOG),
                TrySendError::Closed(_) => ClientError::Ended("the drafter is gone"),
            })?;
        self.traffic.sent.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Blocks {
    /// The next block or failure; `None` when the drafter has ended the stream. Cancel-safe.
    ///
    /// After an error the drafter is not to be listened to any longer.
    pub async fn next(&mut self) -> Result<Option<FromDrafter>, ClientError> {
        let message = receive(&mut self.messages, &self.traffic).await?;
        match &message {
            Some(FromDrafter::Opened(_)) => {
                return Err(out_of_order("opened again", "a block or a failure").into());
            }
            Some(FromDrafter::Block(block)) => self.check(block)?,
            Some(FromDrafter::Failure(_)) | None => {}
        }
        Ok(message)
    }

    fn check(&mut self, block: &Block) -> Result<(), ProtocolError> {
        let round = self.last_round + 1;
        crate::check::within("block.round", block.round, round..=round)?;
        self.last_round = round;
        let unanswered = round.saturating_sub(self.answered.load(Ordering::Acquire));
        let credit = u64::from(self.opened.credit);
        crate::check::within("unanswered blocks", unanswered, 0..=credit)?;
        let most = self.opened.max_block_bytes as usize;
        crate::check::size("block.text", block.text.len(), 0..=most, "bytes")?;
        let most = self.max_block_tokens as usize;
        let (all, chain) = (block.token_ends.len(), block.chain_tokens());
        crate::check::size("block.token_ends", chain, 0..=most, "entries")?;
        let most = crate::limits::MAX_ALTERNATIVES as usize;
        crate::check::size("block.parents", all - chain, 0..=most, "alternatives")?;
        if !self.accepts_trees && !block.parents.is_empty() {
            let expected = "empty, since trees were not asked for";
            return Err(ProtocolError::invalid("block.parents", "set", expected));
        }
        Ok(())
    }
}

impl Counters {
    fn read(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}

async fn receive(
    messages: &mut Streaming<wire::DraftResponse>,
    traffic: &Counters,
) -> Result<Option<FromDrafter>, ClientError> {
    let Some(message) = messages.next().await.transpose()? else {
        return Ok(None);
    };
    let bytes = message.encoded_len() as u64 + FRAME_BYTES;
    traffic.received.fetch_add(bytes, Ordering::Relaxed);
    Ok(Some(FromDrafter::try_from(message)?))
}

fn out_of_order(found: &str, expected: &str) -> ProtocolError {
    ProtocolError::invalid("message", found, expected)
}
