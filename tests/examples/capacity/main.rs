//! Throughput of a set of services, over **simulated** models: for each number of verifiers, drafters and sessions the tokens
//! a second, with and without drafters.
//!
//! ```sh
//! cargo build --workspace
//! cargo run -p tests --example capacity -- target/debug tests/profiles/batching-target.toml tests/profiles/batching-drafter.toml
//! ```
//!
//! Two more arguments choose the services and the load: `1x1,4x2` for one verifier with one drafter, then four with two, and `8,32` for
//! the given numbers of sessions a verifier, one after the other.
//!
//! Each session is a client that asks again as soon as it has its reply, so that what is measured goes on for ever: what happens when
//! services and load begin is not in it.
//!
//! Services, protocol, queues and control are the real ones, each service a process; only the models wait instead of
//! computing. The numbers say where control and batching saturate, nothing about how fast a model is.

#![allow(clippy::print_stdout, reason = "the table is what this is for")]

mod fleet;

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use proto::{
    ClientError,
    model::{Prompt, Sampling},
    verifier::{Client, Generate, Part, Speculation, Usage},
};
use tokio::task::JoinSet;
use tonic::Request;

use self::fleet::Fleet;

/// Usage.
const USAGE: &str = "usage: capacity FOLDER-OF-BINARIES TARGET.toml DRAFTER.toml [VERIFIERSxDRAFTERS,… SESSIONS-A-VERIFIER,…]";
/// Tokens of each reply.
const TOKENS: u32 = 48;
/// Time under load before anything counts, and the time that counts.
const WARM_UP: Duration = Duration::from_secs(8);
const WINDOW: Duration = Duration::from_secs(16);
/// Wait of a client after a failure.
const PAUSE: Duration = Duration::from_millis(100);
/// Verifiers and drafters.
const FLEETS: [(usize, usize); 5] = [(1, 1), (1, 2), (2, 1), (2, 2), (4, 4)];
/// Sessions at once, all verifiers together.
const SESSIONS: [usize; 6] = [1, 8, 32, 128, 512, 1000];

/// Results of some sessions in the window.
#[derive(Default)]
struct Sum {
    tokens: f64,
    accepted: f64,
    forwards: f64,
    failed: usize,
    /// Reason of the last one.
    failure: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, target, drafter, chosen @ ..] = &args[..] else {
        return Err(USAGE.into());
    };
    let (fleets, a_verifier) = match chosen {
        [] => (FLEETS.to_vec(), None),
        [fleets, sessions] => {
            let fleets = fleets.split(',').map(fleet).collect::<Option<_>>();
            let sessions = sessions.split(',').map(str::parse);
            let sessions = sessions.collect::<Result<Vec<usize>, _>>()?;
            (fleets.ok_or(USAGE)?, Some(sessions))
        }
        _ => return Err(USAGE.into()),
    };
    println!("simulated models: {target} <- {drafter}, {TOKENS} tokens a reply");
    println!("verifiers drafters sessions  tokens/s   plain   ratio  accepted/forward  failed");
    for (verifiers, drafters) in fleets {
        let fleet = Fleet::start(folder, target, drafter, (verifiers, drafters))?;
        let idle = fleet.verifier_kilobytes();
        let loads = a_verifier.as_ref().map_or(SESSIONS.to_vec(), |each| {
            each.iter().map(|sessions| verifiers * sessions).collect()
        });
        for sessions in loads {
            let with = run(&fleet, sessions, &Speculation::auto()).await;
            let without = run(&fleet, sessions, &Speculation::Off).await;
            println!(
                "{verifiers:9} {drafters:8} {sessions:8} {:9.0} {:7.0} {:7.2} {:17.2} {:7}",
                with.tokens / WINDOW.as_secs_f64(),
                without.tokens / WINDOW.as_secs_f64(),
                with.tokens / without.tokens,
                with.accepted / with.forwards,
                with.failed + without.failed,
            );
            if let Some(failure) = with.failure.or(without.failure) {
                println!("  failed: {failure}");
            }
        }
        if a_verifier.is_some() {
            continue;
        }
        let open = open_but_unread(&fleet, 1000).await;
        let grown = fleet.verifier_kilobytes().saturating_sub(idle);
        println!(
            "{open} sessions open and unread: the verifiers have grown by {grown} kB since their start"
        );
    }
    Ok(())
}

/// The services of a name such as `4x2`.
fn fleet(text: &str) -> Option<(usize, usize)> {
    let (verifiers, drafters) = text.split_once('x')?;
    Some((verifiers.parse().ok()?, drafters.parse().ok()?))
}

/// Results of `sessions` clients who ask again as soon as they have their reply: a while that is not counted, then `WINDOW`.
async fn run(fleet: &Fleet, sessions: usize, speculation: &Speculation) -> Sum {
    let begin = Instant::now() + WARM_UP;
    let window = begin..begin + WINDOW;
    let mut clients = JoinSet::new();
    for number in 0..sessions {
        let request = request(number, speculation.clone());
        clients.spawn(ask_again_and_again(
            fleet.client(number),
            request,
            window.clone(),
        ));
    }
    let mut sum = Sum::default();
    for of_client in clients.join_all().await {
        sum.tokens += of_client.tokens;
        sum.accepted += of_client.accepted;
        sum.forwards += of_client.forwards;
        sum.failed += of_client.failed;
        sum.failure = of_client.failure.or(sum.failure);
    }
    sum
}

/// One client. Of a reply that begins or ends outside of the window, the part of its time that lies in it counts.
async fn ask_again_and_again(client: Client, request: Generate, window: Range<Instant>) -> Sum {
    let mut sum = Sum::default();
    while Instant::now() < window.end {
        let began = Instant::now();
        let usage = match reply(client.clone(), request.clone()).await {
            Ok(usage) => usage,
            Err(error) => {
                sum.failed += 1;
                sum.failure = Some(error.to_string());
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let ended = Instant::now();
        let within = ended
            .min(window.end)
            .saturating_duration_since(began.max(window.start));
        let part = within.as_secs_f64() / (ended - began).as_secs_f64();
        sum.tokens += part * f64::from(usage.completion_tokens);
        sum.accepted += part * f64::from(usage.accepted_tokens);
        sum.forwards += part * f64::from(usage.target_forwards);
    }
    sum
}

fn request(number: usize, speculation: Speculation) -> Generate {
    let prompt =
        format!("The text of number {number} begins here, after a prompt of some length: ");
    Generate {
        max_tokens: Some(TOKENS),
        sampling: Sampling::greedy(),
        speculation,
        ..Generate::new(Prompt::Text(prompt))
    }
}

/// Reads a reply to the end of its stream, since one that is dropped before counts as cancelled.
async fn reply(mut client: Client, request: Generate) -> Result<Usage, ClientError> {
    let mut reply = client.generate(Request::new(request)).await?;
    let mut usage = None;
    while let Some(part) = reply.next().await? {
        if let Part::Finish(finish) = part {
            usage = Some(finish.usage);
        }
    }
    usage.ok_or(ClientError::Ended("without its last part"))
}

/// Opens sessions and reads only the beginning of each; gives how many are open.
async fn open_but_unread(fleet: &Fleet, sessions: usize) -> usize {
    let mut open = Vec::new();
    for number in 0..sessions {
        let request = Generate {
            max_tokens: Some(2000),
            ..request(number, Speculation::auto())
        };
        if let Ok(mut reply) = fleet.client(number).generate(Request::new(request)).await
            && reply.next().await.is_ok()
        {
            open.push(reply);
        }
    }
    open.len()
}
