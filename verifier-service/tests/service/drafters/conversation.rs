//! One session of a scripted drafter: it keeps to the protocol except where its kind does not, and
//! records the verifier's faults.

use std::time::Duration;

use proto::{
    BaseHash, CommittedText,
    drafter::{
        Block, DraftTimings, EndRole, Failure, FromDrafter, Open, Opened, ToDrafter, Verdict, Wish,
    },
    model::Fingerprint,
    wire::drafter::v1 as wire,
};
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};

use super::{Distribution, Kind, Script, Sender};

/// One session.
pub(super) struct Conversation {
    script: Script,
    inbox: Streaming<wire::DraftRequest>,
    outbox: Sender,
    committed: CommittedText,
    /// Bytes proposed after the committed text.
    drafted: Vec<u8>,
    round: u64,
    answered: u64,
    noise: u64,
    /// Wish in force.
    wanted: Wish,
}

/// The verifier is gone, or there is nothing more to send.
pub(super) struct Over;

impl Conversation {
    pub(super) fn new(
        script: Script,
        inbox: Streaming<wire::DraftRequest>,
        outbox: Sender,
    ) -> Self {
        Self {
            script,
            inbox,
            outbox,
            committed: CommittedText::default(),
            drafted: Vec::new(),
            round: 0,
            answered: 0,
            noise: 88_172_645_463_325_252,
            wanted: Wish::default(),
        }
    }

    pub(super) async fn run(mut self) {
        // Every conversation ends with an error.
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
                Kind::Breaks if self.round == 2 => return self.break_off().await,
                Kind::Aborts if self.round == 1 => return self.break_off().await,
                Kind::Drips => tokio::time::sleep(Duration::from_millis(150)).await,
                Kind::Alternates if self.round % 2 == 1 => {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                }
                Kind::Chaos => {
                    if self.random().is_multiple_of(16) {
                        return self.break_off().await;
                    }
                    let delay = Duration::from_millis(self.random().into());
                    tokio::time::sleep(delay).await;
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

    /// The verifier's first message, which must be `Open`.
    pub(super) async fn take_open(&mut self) -> Result<Open, Over> {
        let open = match self.listen().await? {
            ToDrafter::Open(open) => *open,
            other => return self.fault(format!("{other:?} comes first")),
        };
        self.committed = CommittedText::resumed(&open.committed).map_err(|_| Over)?;
        self.wanted = open.first_wish();
        self.script.note(|seen| seen.opens.push(open.clone()));
        Ok(open)
    }

    async fn open(&mut self, open: &Open) -> Result<(), Over> {
        let boast = u32::from(self.script.kind == Kind::Boasts);
        let is_another = self.script.kind == Kind::Draws(Distribution::OfAnotherVocabulary);
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
        let tokens = match self.script.kind {
            Kind::Drips => 1,
            _ => open.max_block_tokens as usize,
        };
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
            Kind::Draws(distribution) => {
                block.token_ends = (1..=block.text.len() as u32).collect();
                block.draws = distribution.draws(&block.text);
            }
            _ => {}
        }
        let chain = match self.script.kind {
            Kind::Tree(shape) => shape.grow(&mut block),
            _ => block.text.clone(),
        };
        self.drafted.extend_from_slice(&chain);
        let mut message = wire::DraftResponse::from(FromDrafter::Block(block));
        match (self.script.kind, &mut message.message) {
            (Kind::InvalidEnds, Some(wire::draft_response::Message::Block(block))) => {
                block.token_ends.push(1);
            }
            (Kind::Empty, message) => *message = None,
            _ => {}
        }
        self.script.note(|seen| seen.blocks += 1);
        self.send(Ok(message)).await
    }

    /// The target's next bytes after all that was proposed; empty at its end.
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

    /// Takes in a verdict and checks that it is valid.
    async fn follow(&mut self) -> Result<(), Over> {
        match self.listen().await? {
            ToDrafter::Verdict(verdict) => {
                if verdict.round < self.answered || verdict.round > self.round {
                    let text = format!("{verdict:?} after {} of {}", self.answered, self.round);
                    return self.fault(text);
                }
                self.answered = verdict.round;
                self.remember(&verdict)?;
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

    /// Takes in the next wish. It must be sent only on a change, and in steps of 5 percent.
    fn remember(&mut self, verdict: &Verdict) -> Result<(), Over> {
        if verdict.next == Some(self.wanted) {
            return self.fault(format!("{verdict:?} repeats the wish"));
        }
        self.wanted = verdict.next.unwrap_or(self.wanted);
        let (alternatives, percent) = (self.wanted.alternatives, self.wanted.least_percent);
        if !percent.is_multiple_of(5) {
            return self.fault(format!("{percent} percent"));
        }
        self.script
            .note(|seen| seen.most_alternatives = seen.most_alternatives.max(alternatives));
        Ok(())
    }

    async fn break_off(&mut self) -> Result<(), Over> {
        self.send(Err(Status::internal("broken"))).await
    }

    async fn follow_until_the_end(&mut self) -> Result<(), Over> {
        loop {
            self.follow().await?;
        }
    }

    /// The next message. The end of the session is recorded.
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

    /// Records a fault of the verifier, which the test finds.
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
