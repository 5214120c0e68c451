//! The typed clients against real servers, honest ones and others.

use std::pin::Pin;

use proto::{
    BaseHash, ClientError, CommittedText,
    drafter::{
        self, Block, CloseReason, DraftTimings, EndRole, FromDrafter, Open, Opened, ToDrafter,
        Verdict, VocabularyPage, Wish,
    },
    model::{Fingerprint, Prompt, Sampling},
    verifier::{self, Chunk, Finish, FinishReason, Generate, Origin, Part, Piece, Usage},
    wire::{
        drafter::v1 as drafter_wire, drafter::v1::drafter_server::Drafter,
        verifier::v1 as verifier_wire, verifier::v1::verifier_server::Verifier,
    },
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Channel, Endpoint, Server, server::Router},
};

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A drafter that answers the opening with a prepared script, then with one block a verdict, and reports what it was sent.
struct Scripted {
    script: Vec<FromDrafter>,
    seen: mpsc::Sender<ToDrafter>,
}

#[tonic::async_trait]
impl Drafter for Scripted {
    type DraftStream = Outgoing<drafter_wire::DraftResponse>;

    async fn describe(
        &self,
        _: Request<drafter_wire::DescribeRequest>,
    ) -> Result<Response<drafter_wire::DescribeResponse>, Status> {
        Ok(Response::new(drafter_wire::DescribeResponse::default()))
    }

    async fn vocabulary(
        &self,
        request: Request<drafter_wire::VocabularyRequest>,
    ) -> Result<Response<drafter_wire::VocabularyResponse>, Status> {
        let table = [(b"a".as_slice(), None), (b"", Some(EndRole::EndOfTurn))];
        let first = request.into_inner().first;
        let (fingerprint, size) = (Fingerprint([1; 32]), table.len() as u32);
        // One token a page, and once they are through another tokenizer.
        let mut page = VocabularyPage::of(fingerprint, first + 1, first, |id| table[id as usize]);
        page.vocabulary_size = size;
        if first > 0 && self.script.is_empty() {
            page.fingerprint = Fingerprint([2; 32]);
        }
        Ok(Response::new(page.into()))
    }

    async fn draft(
        &self,
        request: Request<Streaming<drafter_wire::DraftRequest>>,
    ) -> Result<Response<Self::DraftStream>, Status> {
        let script = self
            .script
            .clone()
            .into_iter()
            .map(|message| Ok(message.into()));
        let seen = self.seen.clone();
        let echo = request.into_inner().then(move |message| {
            let seen = seen.clone();
            async move {
                let message = ToDrafter::try_from(message?)?;
                let reply = match &message {
                    ToDrafter::Verdict(verdict) => Some(block(verdict.round + 1)),
                    ToDrafter::Open(_) | ToDrafter::Close(_) => None,
                };
                seen.send(message)
                    .await
                    .map_err(|_| Status::internal("the test is gone"))?;
                Ok(reply.map(|block| FromDrafter::Block(block).into()))
            }
        });
        let echo = echo.filter_map(Result::transpose);
        Ok(Response::new(Box::pin(
            tokio_stream::iter(script).chain(echo),
        )))
    }
}

/// A verifier that answers every request with the same parts.
struct Parts(Vec<Part>);

#[tonic::async_trait]
impl Verifier for Parts {
    type GenerateStream = ReceiverStream<Result<verifier_wire::GenerateResponse, Status>>;

    async fn describe(
        &self,
        _: Request<verifier_wire::DescribeRequest>,
    ) -> Result<Response<verifier_wire::DescribeResponse>, Status> {
        Err(Status::unavailable("loading"))
    }

    async fn check_pair(
        &self,
        _: Request<verifier_wire::CheckPairRequest>,
    ) -> Result<Response<verifier_wire::CheckPairResponse>, Status> {
        Ok(Response::new(verifier_wire::CheckPairResponse::default()))
    }

    async fn generate(
        &self,
        request: Request<verifier_wire::GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        Generate::try_from(request.into_inner())?;
        let (sender, receiver) = mpsc::channel(self.0.len());
        for part in &self.0 {
            sender
                .try_send(Ok(part.clone().into()))
                .expect("the test's own server");
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Serves on a port of the system's choice until the set is dropped.
async fn serve(router: Router) -> (Channel, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the test's own server");
    let address = listener.local_addr().expect("the test's own server");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        router
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .expect("the test's own server");
    });
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .expect("the test's own server")
        .connect_lazy();
    (channel, tasks)
}

async fn scripted(
    script: Vec<FromDrafter>,
) -> (drafter::Client, mpsc::Receiver<ToDrafter>, JoinSet<()>) {
    let (seen, received) = mpsc::channel(16);
    let service = drafter::server(Scripted { script, seen });
    let (channel, tasks) = serve(Server::builder().add_service(service)).await;
    (drafter::Client::new(channel), received, tasks)
}

fn open() -> Open {
    Open {
        session_id: "s".to_owned(),
        prompt: Prompt::Text("fn ".to_owned()),
        committed: Vec::new(),
        method: "greedy".to_owned(),
        seed: 1,
        sampling: Sampling::greedy(),
        sharpness: 1.0,
        max_block_tokens: 4,
        max_block_bytes: 64,
        credit: 1,
        expected_fingerprint: None,
        accepts_trees: false,
        first: None,
        drawable: Vec::new(),
    }
}

fn opened() -> FromDrafter {
    FromDrafter::Opened(Opened {
        model: "toy".to_owned(),
        tokenizer_fingerprint: Fingerprint([1; 32]),
        block_tokens: 4,
        max_block_bytes: 8,
        credit: 1,
        context_left: 100,
    })
}

fn block(round: u64) -> Block {
    Block {
        round,
        base_length: 0,
        base_hash: CommittedText::default().hash(),
        text: b"main".to_vec(),
        token_ends: vec![4],
        ends_with: None,
        parents: Vec::new(),
        draws: Vec::new(),
        timings: DraftTimings::default(),
    }
}

#[tokio::test]
async fn session_opens_drafts_and_closes() {
    let script = vec![opened(), FromDrafter::Block(block(1))];
    let (mut client, mut seen, _tasks) = scripted(script).await;
    let mut session = client.draft(Request::new(open())).await.unwrap();
    assert_eq!(FromDrafter::Opened(session.opened), opened());
    assert_eq!(
        session.blocks.next().await.unwrap(),
        Some(FromDrafter::Block(block(1)))
    );
    let verdict = Verdict {
        round: 1,
        kept_bytes: 4,
        appended: b"(".to_vec(),
        new_hash: BaseHash::of(b"main("),
        next: Some(Wish::chain(4)),
    };
    session.verdicts.verdict(verdict.clone()).unwrap();
    assert_eq!(
        session.blocks.next().await.unwrap(),
        Some(FromDrafter::Block(block(2)))
    );
    let traffic = session.verdicts.traffic();
    assert!(traffic.sent > 40 && traffic.received > 80, "{traffic:?}");
    session.verdicts.close(CloseReason::Finished);
    assert_eq!(session.blocks.next().await.unwrap(), None);
    assert_eq!(seen.recv().await, Some(ToDrafter::Open(Box::new(open()))));
    assert_eq!(seen.recv().await, Some(ToDrafter::Verdict(verdict)));
    assert_eq!(
        seen.recv().await,
        Some(ToDrafter::Close(CloseReason::Finished))
    );
}

/// The client's error for a drafter that sends `messages` after the opening.
async fn refusal(messages: Vec<FromDrafter>) -> String {
    let script = std::iter::once(opened()).chain(messages).collect();
    let (mut client, _seen, _tasks) = scripted(script).await;
    let mut session = client
        .draft(Request::new(open()))
        .await
        .expect("an open session");
    loop {
        match session.blocks.next().await {
            Ok(message) => assert!(message.is_some(), "the drafter was not refused"),
            Err(ClientError::Protocol(error)) => return error.to_string(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn drafter_is_held_to_numbering_credit_and_limits() {
    let skipped = refusal(vec![FromDrafter::Block(block(2))]).await;
    assert!(skipped.starts_with("block.round is 2"), "{skipped}");
    let flood = (1..=2)
        .map(|round| FromDrafter::Block(block(round)))
        .collect();
    let flood = refusal(flood).await;
    assert!(flood.starts_with("unanswered blocks is 2"), "{flood}");
    let long = Block {
        text: vec![b'a'; 9],
        token_ends: vec![9],
        ..block(1)
    };
    let long = refusal(vec![FromDrafter::Block(long)]).await;
    assert!(long.starts_with("block.text is 9 bytes long"), "{long}");
    let many = Block {
        token_ends: vec![0, 1, 2, 3, 4],
        ..block(1)
    };
    let many = refusal(vec![FromDrafter::Block(many)]).await;
    assert!(
        many.starts_with("block.token_ends is 5 entries long"),
        "{many}"
    );
    let tree = Block {
        parents: vec![0],
        ..block(1)
    };
    let tree = refusal(vec![FromDrafter::Block(tree)]).await;
    assert!(tree.starts_with("block.parents is set"), "{tree}");
    let again = refusal(vec![opened()]).await;
    assert!(again.starts_with("message is opened again"), "{again}");
}

#[tokio::test]
async fn session_that_does_not_begin_with_opened_is_an_error() {
    let (mut client, _seen, _tasks) = scripted(vec![FromDrafter::Block(block(1))]).await;
    let error = client.draft(Request::new(open())).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn vocabulary_is_put_together_from_its_pages() {
    let (mut client, _seen, _tasks) = scripted(vec![opened()]).await;
    let table = client.vocabulary(Request::new(())).await.unwrap();
    assert_eq!(table.fingerprint, Fingerprint([1; 32]));
    assert_eq!(table.tokens().collect::<Vec<_>>(), [b"a".as_slice(), b""]);
    assert_eq!(table.end_of_turn, [1]);
}

#[tokio::test]
async fn vocabulary_that_changes_between_pages_is_refused() {
    let (mut client, _seen, _tasks) = scripted(Vec::new()).await;
    let error = client.vocabulary(Request::new(())).await.unwrap_err();
    let ClientError::Protocol(error) = error else {
        panic!("{error}")
    };
    let text = error.to_string();
    assert!(text.starts_with("tokenizer_fingerprint is 0202"), "{text}");
}

#[tokio::test]
async fn empty_description_is_refused_by_name() {
    let (mut client, _seen, _tasks) = scripted(Vec::new()).await;
    let error = client.describe(Request::new(())).await.unwrap_err();
    let ClientError::Protocol(error) = error else {
        panic!("{error}")
    };
    assert!(error.to_string().starts_with("build is missing"), "{error}");
}

#[tokio::test]
async fn reply_ends_with_finish_or_is_incomplete() {
    let piece = Piece {
        origin: Origin::Plain,
        text: "x".to_owned(),
    };
    let chunk = Part::Chunk(Chunk {
        pieces: vec![piece],
        ..Chunk::default()
    });
    let finish = Part::Finish(Box::new(Finish {
        reason: FinishReason::Length,
        matched_stop: None,
        matched_stop_token: None,
        usage: Usage::default(),
        method: None,
        method_reason: String::new(),
        seed: 3,
        request_id: "r".to_owned(),
    }));
    let request = || Request::new(Generate::new(Prompt::Text("x".to_owned())));

    let service = verifier::server(Parts(vec![chunk.clone(), finish.clone()]));
    let (channel, _tasks) = serve(Server::builder().add_service(service)).await;
    let mut client = verifier::Client::new(channel);
    let mut reply = client.generate(request()).await.unwrap();
    assert_eq!(reply.next().await.unwrap(), Some(chunk.clone()));
    assert_eq!(reply.next().await.unwrap(), Some(finish));
    assert_eq!(reply.next().await.unwrap(), None);

    let empty = Request::new(Generate::new(Prompt::Text(String::new())));
    let ClientError::Status(status) = client.generate(empty).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("prompt.text is 0 bytes long"),
        "{}",
        status.message()
    );

    let service = verifier::server(Parts(vec![chunk.clone()]));
    let (channel, _tasks) = serve(Server::builder().add_service(service)).await;
    let mut reply = verifier::Client::new(channel)
        .generate(request())
        .await
        .unwrap();
    assert_eq!(reply.next().await.unwrap(), Some(chunk));
    assert!(matches!(reply.next().await, Err(ClientError::Ended(_))));
}
