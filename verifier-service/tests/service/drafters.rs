//! Drafters that know the answer, and drafters that no verifier should trust.

use std::{pin::Pin, sync::Arc};

use proto::{
    BaseHash, CommittedText,
    drafter::{
        self, Block, DraftTimings, Draw, EndRole, Failure, FailureCode, FromDrafter, Open, Opened,
        SparseLaw, ToDrafter,
    },
    model::Fingerprint,
    wire::drafter::v1::{self as wire, drafter_server::Drafter},
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::harness::{Shared, listen};

/// What a drafter does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Proposes the answer, and its end; one block at a time.
    Honest,
    /// Proposes the answer, the next block ahead of the verdict.
    Ahead,
    /// Bytes without sense.
    RandomBytes,
    /// Text that never comes.
    Useless,
    /// Has the answer for every other block, and nothing to propose for the rest.
    Declines,
    /// Has nothing to propose once, and never says anything again.
    DeclinesForGood,
    /// The answer, said to follow another place.
    WrongBase,
    /// The answer, said to follow another text.
    WrongHash,
    /// Says nothing at all.
    NeverOpens,
    /// Opens and says nothing more.
    NeverAnswers,
    /// Sends each block only when the verifier has gone on without it.
    Late,
    /// Ends the stream after two blocks.
    Closes,
    /// Fails with a status after two blocks.
    Breaks,
    /// Says in order that something went wrong, after two blocks.
    Fails(FailureCode),
    /// Has no room for another session.
    Full,
    /// Cannot draft the reply that it is asked for.
    RefusesReply,
    /// Sends blocks without end.
    Floods,
    /// Sends a block beyond what it was asked for.
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
    /// The answer, then an end that is none.
    EndsAfterText,
    /// Half of a code point in every block.
    SplitsCodePoints,
    /// The answer a byte a token, each said to be drawn from a law.
    Draws(Law),
}

/// What a drafter says its tokens were drawn from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Law {
    /// One that has nothing but the token.
    Certain,
    /// None.
    Absent,
    /// One that cannot have given the token.
    WithoutTheToken,
    /// One whose probabilities do not sum to one.
    TooSmall,
    /// The right one of other tokens than those that the text is made of.
    OfOtherTokens,
    /// One over ids that the vocabulary does not have.
    BeyondTheVocabulary,
    /// The right one, but of fewer tokens than the block has.
    OfTooFewTokens,
    /// The right one of another vocabulary than the one it has told.
    OfAnotherVocabulary,
}

impl Law {
    /// Every one that is not what it says.
    pub(crate) const LIES: [Self; 7] = [
        Self::Absent,
        Self::WithoutTheToken,
        Self::TooSmall,
        Self::OfOtherTokens,
        Self::BeyondTheVocabulary,
        Self::OfTooFewTokens,
        Self::OfAnotherVocabulary,
    ];

    /// The draws of a block: of its bytes, or of the end of the turn.
    fn draws(self, text: &[u8]) -> Vec<Draw> {
        let single = |byte: &u8| WORDS.len() as u32 + u32::from(*byte);
        let mut ids: Vec<u32> = text.iter().map(single).collect();
        if ids.is_empty() {
            ids.push(END_OF_TURN);
        }
        let last = ids.len() - 1;
        let mut draws: Vec<Draw> = ids.into_iter().map(|id| self.draw(id)).collect();
        if self == Self::OfTooFewTokens {
            draws.truncate(last);
        }
        draws
    }

    fn draw(self, id: u32) -> Draw {
        let id = match self {
            Self::OfOtherTokens => id - 1,
            Self::BeyondTheVocabulary => id + 1000,
            _ => id,
        };
        let law = match self {
            Self::Absent => None,
            Self::WithoutTheToken => Some((id - 1, 0.0)),
            Self::TooSmall => Some((id, -1.0)),
            _ => Some((id, 0.0)),
        };
        Draw {
            id,
            log_prob: 0.0,
            law: law.map(|(id, log_prob)| SparseLaw {
                ids: vec![id],
                log_probs: vec![log_prob],
            }),
        }
    }
}

impl Kind {
    /// Every one that is neither honest nor asleep for good.
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
}

/// What the service shares with the test.
#[derive(Clone)]
struct Script {
    kind: Kind,
    /// The text that the target gives.
    answer: Shared<Vec<u8>>,
    /// Every `Open`, and what the verifier did wrong.
    seen: Shared<Seen>,
    sessions: TaskTracker,
}

/// What a drafter saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) opens: Vec<Open>,
    /// Sessions that have ended, with the reason if one was given.
    pub(crate) ends: Vec<Option<drafter::CloseReason>>,
    pub(crate) faults: Vec<String>,
    pub(crate) traces: Vec<Option<String>>,
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
            let incoming = TcpListenerStream::new(listener);
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

    /// Tells it what the target will say.
    pub(crate) fn learn(&self, answer: &str) {
        *self.script.answer.lock().expect("no panic") = answer.as_bytes().to_vec();
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.script.seen.lock().expect("no panic"))
    }
}

/// The first tokens of a scripted drafter; the last of them ends the turn.
const WORDS: [&[u8]; 4] = [b"let", b" the", b" ", b""];
const END_OF_TURN: u32 = 3;

/// What it has single tokens for, behind them.
const ASCII: &[u8; 128] = &{
    let mut bytes = [0; 128];
    let mut byte = 0;
    while byte < bytes.len() {
        bytes[byte] = byte as u8;
        byte += 1;
    }
    bytes
};

type Outgoing = Pin<Box<dyn Stream<Item = Result<wire::DraftResponse, Status>> + Send>>;
type Sender = mpsc::Sender<Result<wire::DraftResponse, Status>>;

#[tonic::async_trait]
impl Drafter for Script {
    type DraftStream = Outgoing;

    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        let build = proto::model::Build::of("drafter-of-a-test", "0");
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
            needs_laws: false,
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

/// One session.
struct Conversation {
    script: Script,
    inbox: Streaming<wire::DraftRequest>,
    outbox: Sender,
    committed: CommittedText,
    /// Proposed behind the committed text.
    drafted: Vec<u8>,
    round: u64,
    answered: u64,
    noise: u64,
}

/// The verifier is gone, or there is nothing more to say.
struct Over;

impl Conversation {
    fn new(script: Script, inbox: Streaming<wire::DraftRequest>, outbox: Sender) -> Self {
        Self {
            script,
            inbox,
            outbox,
            committed: CommittedText::default(),
            drafted: Vec::new(),
            round: 0,
            answered: 0,
            noise: 88_172_645_463_325_252,
        }
    }

    async fn run(mut self) {
        // Ends by an error in any case.
        drop(self.converse().await);
    }

    async fn converse(&mut self) -> Result<(), Over> {
        let kind = self.script.kind;
        let open = self.take_open().await?;
        if kind == Kind::NeverOpens {
            return self.follow_until_the_end().await;
        }
        self.open(&open).await?;
        if kind == Kind::OpensTwice {
            self.open(&open).await?;
        }
        loop {
            match kind {
                Kind::DeclinesForGood if self.round == 1 => {
                    return self.follow_until_the_end().await;
                }
                Kind::NeverAnswers => return self.follow_until_the_end().await,
                Kind::Late => self.follow().await?,
                Kind::Closes if self.round == 2 => return Err(Over),
                Kind::Breaks if self.round == 2 => {
                    return self.send(Err(Status::internal("broken"))).await;
                }
                Kind::Fails(code) if self.round == 2 => {
                    let text = "as the test wants".to_owned();
                    let failure = FromDrafter::Failure(Failure { code, text });
                    return self.send(Ok(failure.into())).await;
                }
                _ => {}
            }
            self.propose(&open).await?;
            let ahead = if kind == Kind::Ahead { 2 } else { 1 };
            while kind != Kind::Floods && self.round - self.answered >= ahead {
                self.follow().await?;
            }
        }
    }

    /// What the verifier asks for, which comes first.
    async fn take_open(&mut self) -> Result<Open, Over> {
        let open = match self.listen().await? {
            ToDrafter::Open(open) => *open,
            other => return self.fault(format!("{other:?} comes first")),
        };
        self.committed = CommittedText::resumed(&open.committed).map_err(|_| Over)?;
        self.script.note(|seen| seen.opens.push(open.clone()));
        Ok(open)
    }

    async fn open(&mut self, open: &Open) -> Result<(), Over> {
        let boast = u32::from(self.script.kind == Kind::Boasts);
        let is_another = self.script.kind == Kind::Draws(Law::OfAnotherVocabulary);
        let opened = Opened {
            model: "oracle".to_owned(),
            tokenizer_fingerprint: Fingerprint([7 + u8::from(is_another); 32]),
            block_tokens: open.max_block_tokens,
            max_block_bytes: open.max_block_bytes,
            credit: open.credit + boast,
            context_left: 1000,
        };
        self.send(Ok(FromDrafter::Opened(opened).into())).await
    }

    /// Sends a block, as its kind would.
    async fn propose(&mut self, open: &Open) -> Result<(), Over> {
        let tokens = open.max_block_tokens as usize;
        let honest = self.honest(tokens);
        let text = match self.script.kind {
            Kind::RandomBytes => (0..2 * tokens).map(|_| self.random()).collect(),
            Kind::Useless => b"~~~~~~~~".to_vec(),
            Kind::Huge => vec![b'a'; 2 * open.max_block_bytes as usize],
            Kind::AlwaysEnds | Kind::DeclinesForGood => Vec::new(),
            Kind::Declines if self.round.is_multiple_of(2) => Vec::new(),
            Kind::SplitsCodePoints => b"\xe2\x82".to_vec(),
            _ => honest,
        };
        let mut block = self.block(text);
        match self.script.kind {
            Kind::WrongBase => block.base_length += 3,
            Kind::WrongHash => block.base_hash = BaseHash(block.base_hash.0 ^ 1),
            Kind::Declines | Kind::DeclinesForGood => block.ends_with = None,
            Kind::AlwaysEnds | Kind::EndsAfterText => block.ends_with = Some(EndRole::EndOfTurn),
            Kind::Draws(law) => {
                block.token_ends = (1..=block.text.len() as u32).collect();
                block.draws = law.draws(&block.text);
            }
            _ => {}
        }
        self.drafted.extend_from_slice(&block.text);
        let mut message = wire::DraftResponse::from(FromDrafter::Block(block));
        match (self.script.kind, &mut message.message) {
            (Kind::InvalidEnds, Some(wire::draft_response::Message::Block(block))) => {
                block.token_ends.push(1);
            }
            (Kind::Empty, message) => *message = None,
            _ => {}
        }
        self.send(Ok(message)).await
    }

    /// What the target will say behind all that was proposed, or its end.
    fn honest(&self, tokens: usize) -> Vec<u8> {
        let answer = self.script.answer.lock().expect("no panic");
        let from = (self.committed.len() + self.drafted.len()).min(answer.len());
        let bytes = match self.script.kind {
            Kind::Draws(_) => tokens,
            _ => 2 * tokens,
        };
        answer[from..answer.len().min(from + bytes)].to_vec()
    }

    /// A block of two bytes a token; without text it proposes the end.
    fn block(&mut self, text: Vec<u8>) -> Block {
        self.round += 1;
        let length = text.len() as u32;
        let ends = (1..length.div_ceil(2)).map(|token| 2 * token);
        let token_ends = ends.chain((length > 0).then_some(length)).collect();
        let base = [self.committed.bytes(), &self.drafted].concat();
        Block {
            round: self.round,
            base_length: base.len() as u64,
            base_hash: BaseHash::of(&base),
            token_ends,
            ends_with: text.is_empty().then_some(EndRole::EndOfTurn),
            text,
            parents: Vec::new(),
            draws: Vec::new(),
            timings: DraftTimings::default(),
        }
    }

    /// Takes a verdict in and checks that it makes sense.
    async fn follow(&mut self) -> Result<(), Over> {
        match self.listen().await? {
            ToDrafter::Verdict(verdict) => {
                if verdict.round < self.answered || verdict.round > self.round {
                    let text = format!("{verdict:?} after {} of {}", self.answered, self.round);
                    return self.fault(text);
                }
                self.answered = verdict.round;
                let drafted = std::mem::take(&mut self.drafted);
                if let Err(error) = verdict.follow(&mut self.committed, &drafted) {
                    return self.fault(error.to_string());
                }
                let rest =
                    drafted[verdict.kept_bytes as usize..].strip_prefix(&verdict.appended[..]);
                if self.round > self.answered {
                    self.drafted = rest.unwrap_or_default().to_vec();
                }
                Ok(())
            }
            ToDrafter::Close(_) => Err(Over),
            ToDrafter::Open(_) => self.fault("opened twice".to_owned()),
        }
    }

    async fn follow_until_the_end(&mut self) -> Result<(), Over> {
        loop {
            self.follow().await?;
        }
    }

    /// The next message; its end is noted.
    async fn listen(&mut self) -> Result<ToDrafter, Over> {
        let Some(Ok(message)) = self.inbox.next().await else {
            self.script.note(|seen| seen.ends.push(None));
            return Err(Over);
        };
        match ToDrafter::try_from(message) {
            Ok(ToDrafter::Close(reason)) => {
                self.script.note(|seen| seen.ends.push(Some(reason)));
                Err(Over)
            }
            Ok(message) => Ok(message),
            Err(error) => self.fault(error.to_string()),
        }
    }

    async fn send(&mut self, message: Result<wire::DraftResponse, Status>) -> Result<(), Over> {
        self.outbox.send(message).await.map_err(|_| Over)
    }

    /// The verifier broke the protocol; the test will find it.
    fn fault<T>(&mut self, text: String) -> Result<T, Over> {
        self.script.note(|seen| seen.faults.push(text));
        Err(Over)
    }

    fn random(&mut self) -> u8 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        (self.noise >> 32) as u8
    }
}
