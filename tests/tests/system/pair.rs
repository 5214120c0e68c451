//! The pair that tests share, and how it is asked.

use std::sync::LazyLock;

use proto::verifier::{Client, Finish, Generate, Origin, Part, Piece, Reply};
use store::{ModelReference, Progress, Store};
use tokio::sync::RwLock;
use tonic::Request;

use crate::process::Process;

/// The target model.
pub(crate) const TARGET: &str = "gemma-3-270m";
/// The draft model, which has another vocabulary.
pub(crate) const DRAFTER: &str = "smollm2-135m";

/// Draft tokens of a block.
pub(crate) const BLOCK_LENGTH: u32 = 6;

static SHARED: LazyLock<RwLock<Pair>> = LazyLock::new(|| RwLock::new(Pair::start()));

/// A drafter, and a verifier that has found it.
pub(crate) struct Pair {
    pub(crate) drafter: Process,
    pub(crate) verifier: Process,
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) finish: Finish,
}

/// The pair for tests that only ask; who needs it alone takes it for writing.
pub(crate) fn shared() -> &'static RwLock<Pair> {
    &SHARED
}

impl Pair {
    /// Starts both on free ports.
    pub(crate) fn start() -> Self {
        let drafter = drafter(&[]);
        let verifier = verifier(&["--drafter", &drafter.url()]);
        verifier.wait_for("drafter is there", 1);
        Self { drafter, verifier }
    }
}

/// Starts a drafter.
pub(crate) fn drafter(args: &[&str]) -> Process {
    fetch();
    let model = [&["--model", DRAFTER], args].concat();
    Process::start("drafter-service", &model)
}

/// Starts a verifier. It waits for blocks as long as they take: how busy the machine is shall decide nothing.
pub(crate) fn verifier(args: &[&str]) -> Process {
    fetch();
    let length = BLOCK_LENGTH.to_string();
    let model = ["--model", TARGET, "--block-length", &length];
    let patient = ["--draft-deadline-min", "20s", "--draft-deadline-max", "20s"];
    Process::start("verifier-service", &[&model[..], &patient, args].concat())
}

/// Path of a model in the cache.
pub(crate) fn model_path(name: &str) -> std::path::PathBuf {
    fetch();
    let store = Store::open(None).expect("a cache folder");
    store.path(name).expect("a model that was fetched")
}

/// Has both models in the cache, as `duet models pull` would, so that no test waits for a network.
fn fetch() {
    static FETCHED: LazyLock<()> = LazyLock::new(|| {
        let store = Store::open(None).expect("a cache folder");
        for model in [TARGET, DRAFTER] {
            let reference: ModelReference = model.parse().expect("a known name");
            if let Err(error) = store.resolve(&reference, &mut Told) {
                panic!("{model} cannot be fetched: {error}; `duet models pull {model}` says more");
            }
        }
    });
    LazyLock::force(&FETCHED);
}

/// Asks for a whole reply.
pub(crate) async fn ask(verifier: &str, request: Generate) -> Answer {
    let reply = begin(verifier, request).await;
    finish(reply, String::new()).await
}

/// Sends a request.
pub(crate) async fn begin(verifier: &str, request: Generate) -> Reply {
    let channel = chassis::channel::lazy(verifier).expect("an address");
    let reply = Client::new(channel).generate(Request::new(request)).await;
    reply.unwrap_or_else(|error| panic!("{verifier} refuses: {error}"))
}

/// Reads a reply until a piece of text has this origin; gives all the text so far.
pub(crate) async fn read_until(reply: &mut Reply, origin: Origin) -> String {
    let mut text = String::new();
    loop {
        match reply.next().await.expect("a part of the reply") {
            Some(Part::Chunk(chunk)) => {
                text.extend(chunk.pieces.iter().map(|piece| piece.text.as_str()));
                if chunk
                    .pieces
                    .iter()
                    .any(|piece: &Piece| piece.origin == origin)
                {
                    return text;
                }
            }
            end => panic!("no text of origin {origin:?} in {text:?} before {end:?}"),
        }
    }
}

/// Reads the rest of a reply that began with `text`.
pub(crate) async fn finish(mut reply: Reply, mut text: String) -> Answer {
    loop {
        match reply.next().await.expect("a part of the reply") {
            Some(Part::Reading(_)) => {}
            Some(Part::Chunk(chunk)) => {
                text.extend(chunk.pieces.into_iter().map(|piece| piece.text));
            }
            Some(Part::Finish(finish)) => {
                return Answer {
                    text,
                    finish: *finish,
                };
            }
            None => panic!("the reply ended without a reason after {text:?}"),
        }
    }
}

/// Says why a source was of no use; the error at the end has no room for all of them.
struct Told;

impl Progress for Told {
    fn started(&mut self, _: &str, _: u64) {}
    fn advanced(&mut self, _: u64) {}
    fn source_passed_over(&mut self, source: &str, why: &str) {
        eprintln!("passed over {source}: {why}");
    }
    fn finished(&mut self) {}
}
