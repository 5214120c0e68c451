//! Drafters that know the answer, and drafters that no verifier should trust.

mod conversation;
mod distribution;

use std::{pin::Pin, sync::Arc};

use proto::{
    drafter::{self, EndRole, FailureCode, Open, PROTOCOL_VERSION},
    model::Fingerprint,
    wire::drafter::v1::{self as wire, drafter_server::Drafter},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::task::TaskTracker;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use self::{
    conversation::Conversation,
    distribution::{ASCII, END_OF_TURN, WORDS},
};
use crate::{
    harness::{Shared, listen},
    trees::Shape,
};
pub(crate) use distribution::Distribution;

/// Behaviour of a drafter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Proposes the answer, and its end; one block at a time.
    Honest,
    /// Proposes the answer, the next block before the verdict.
    Ahead,
    /// Proposes random bytes.
    RandomBytes,
    /// Proposes text that the target never emits.
    Useless,
    /// Has the answer for every other block, and declines the rest.
    Declines,
    /// Declines one block, and never sends anything again.
    DeclinesForGood,
    /// Proposes the answer with a wrong base length.
    WrongBase,
    /// Proposes the answer with a wrong base hash.
    WrongHash,
    /// Sends nothing.
    NeverOpens,
    /// Opens and sends nothing more.
    NeverAnswers,
    /// Sends each block only after the verifier has gone on without it.
    Late,
    /// The answer, a token a block, each block 150 ms late.
    Drips,
    /// The answer, every other block 400 ms late.
    Alternates,
    /// The answer, with delays of 0 to 255 ms; one block in sixteen breaks the stream.
    Chaos,
    /// Fails with a status after one block of the answer.
    Aborts,
    /// Ends the stream after two blocks.
    Closes,
    /// Fails with a status after two blocks.
    Breaks,
    /// Sends a `Failure` after two blocks.
    Fails(FailureCode),
    /// Has no room for another session.
    Full,
    /// Refuses to draft the reply.
    RefusesReply,
    /// Sends blocks without regard to its credit.
    Floods,
    /// Sends a block of more bytes than it was asked for.
    Huge,
    /// Sends token ends that do not fit the text.
    InvalidEnds,
    /// Sends a message without content.
    Empty,
    /// Opens twice.
    OpensTwice,
    /// Opens with limits beyond those asked for.
    Boasts,
    /// Ends the reply in every block.
    AlwaysEnds,
    /// Proposes the answer, then an end where there is none.
    EndsAfterText,
    /// Proposes a part of a code point in every block.
    SplitsCodePoints,
    /// Proposes the answer, a byte a token, each with a distribution.
    Draws(Distribution),
    /// Proposes the answer as a tree.
    Tree(Shape),
}

impl Kind {
    /// All kinds but honest ones and those with tests of their own.
    pub(crate) const HOSTILE: [Self; 22] = [
        Self::RandomBytes,
        Self::Useless,
        Self::Declines,
        Self::DeclinesForGood,
        Self::WrongBase,
        Self::WrongHash,
        Self::NeverOpens,
        Self::NeverAnswers,
        Self::Late,
        Self::Closes,
        Self::Breaks,
        Self::Fails(FailureCode::Internal),
        Self::Full,
        Self::RefusesReply,
        Self::Floods,
        Self::Huge,
        Self::InvalidEnds,
        Self::Empty,
        Self::OpensTwice,
        Self::Boasts,
        Self::AlwaysEnds,
        Self::EndsAfterText,
    ];

    /// True if a session of this kind ends, or is given up, before its first block.
    pub(crate) fn sends_no_block(self) -> bool {
        matches!(
            self,
            Self::NeverOpens
                | Self::NeverAnswers
                | Self::Full
                | Self::RefusesReply
                | Self::OpensTwice
                | Self::Boasts
        )
    }
}

/// State that the service shares with the test.
#[derive(Clone)]
struct Script {
    kind: Kind,
    /// The target's text.
    answer: Shared<Vec<u8>>,
    /// Record of what it received, and of the verifier's faults.
    seen: Shared<Seen>,
    sessions: TaskTracker,
}

/// Record of a drafter.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) opens: Vec<Open>,
    /// Number of blocks that it sent, right or wrong.
    pub(crate) blocks: u32,
    /// Reason of each session that has ended; `None` if none was given.
    pub(crate) ends: Vec<Option<drafter::CloseReason>>,
    pub(crate) faults: Vec<String>,
    pub(crate) traces: Vec<Option<String>>,
    /// Most alternatives that a wish has asked for.
    pub(crate) most_alternatives: u32,
}

/// A drafter that serves until it is dropped.
pub(crate) struct Running {
    pub(crate) address: String,
    script: Script,
    _tasks: JoinSet<()>,
}

impl Running {
    pub(crate) async fn start(kind: Kind) -> Self {
        let (listener, address) = listen().await;
        let script = Script {
            kind,
            answer: Arc::default(),
            seen: Arc::default(),
            sessions: TaskTracker::new(),
        };
        let service = drafter::server(script.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = Server::builder().add_service(service);
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server
                .serve_with_incoming(incoming)
                .await
                .expect("a server");
        });
        Self {
            address: format!("http://{address}"),
            script,
            _tasks: tasks,
        }
    }

    /// Sets the target's text.
    pub(crate) fn learn(&self, answer: &str) {
        *self.script.answer.lock().expect("no panic") = answer.as_bytes().to_vec();
    }

    /// Forgets how many alternatives it was asked for.
    pub(crate) fn forget_alternatives(&self) {
        self.script.note(|seen| seen.most_alternatives = 0);
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.script.seen.lock().expect("no panic"))
    }
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<wire::DraftResponse, Status>> + Send>>;
type Sender = mpsc::Sender<Result<wire::DraftResponse, Status>>;

#[tonic::async_trait]
impl Drafter for Script {
    type DraftStream = Outgoing;

    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        let build = proto::model::Build::of("drafter-of-a-test", "0", PROTOCOL_VERSION);
        let model = proto::model::Model {
            name: "oracle".to_owned(),
            architecture: String::new(),
            quantisation: String::new(),
            requantised: Vec::new(),
            kernels: String::new(),
            parameters: 0,
            context_length: 1,
            vocabulary_size: 1,
            tokenizer_family: String::new(),
            tokenizer_fingerprint: Fingerprint([7; 32]),
            device: String::new(),
            threads: 0,
        };
        let method = |name: &str| proto::model::Method {
            name: name.to_owned(),
            lossless: true,
            needs_distributions: false,
        };
        let description = drafter::Description {
            build,
            model,
            methods: ["greedy", "coupled", "point_mass", "tli", "path_conditional"]
                .map(method)
                .to_vec(),
            limits: drafter::Limits {
                max_sessions: 9,
                max_block_tokens: 9,
                max_block_bytes: 9,
                max_credit: 9,
                max_prompt_bytes: 9,
            },
            sessions: 0,
        };
        Ok(Response::new(description.into()))
    }

    async fn vocabulary(
        &self,
        request: Request<wire::VocabularyRequest>,
    ) -> Result<Response<wire::VocabularyResponse>, Status> {
        let fingerprint = Fingerprint([7; 32]);
        let token = |id: u32| match id.checked_sub(WORDS.len() as u32) {
            None => (
                WORDS[id as usize],
                (id == END_OF_TURN).then_some(EndRole::EndOfTurn),
            ),
            Some(byte) => (&ASCII[byte as usize..=byte as usize], None),
        };
        let (first, size) = (
            request.into_inner().first,
            (WORDS.len() + ASCII.len()) as u32,
        );
        let mut page: wire::VocabularyResponse =
            drafter::VocabularyPage::of(fingerprint, size, first, token).into();
        match self.kind {
            Kind::Honest | Kind::Draws(_) => {}
            Kind::InvalidEnds => page.token_ends.reverse(),
            _ => return Err(Status::unimplemented("an old drafter")),
        }
        Ok(Response::new(page))
    }

    async fn draft(
        &self,
        request: Request<Streaming<wire::DraftRequest>>,
    ) -> Result<Response<Self::DraftStream>, Status> {
        let trace = request.metadata().get("traceparent");
        let trace = trace
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        self.note(|seen| seen.traces.push(trace));
        let (sender, receiver) = mpsc::channel(1);
        let mut session = Conversation::new(self.clone(), request.into_inner(), sender);
        let refusal = match self.kind {
            Kind::Full => Some(Status::resource_exhausted("full")),
            Kind::RefusesReply => Some(Status::invalid_argument("this reply cannot be drafted")),
            _ => None,
        };
        if let Some(refusal) = refusal {
            drop(session.take_open().await);
            return Err(refusal);
        }
        self.sessions.spawn(session.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Script {
    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().expect("no panic"));
    }
}
