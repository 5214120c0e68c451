//! Health check of a drafter, so that no session has to find out that it is gone or incompatible.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{channel::Backoff, trace};
use proto::{
    ClientError, ProtocolError,
    drafter::{Description, PROTOCOL_VERSION},
};
use tokio::time::timeout;
use tonic::Code;

use super::{Drafter, Reach};

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between checks of a drafter that answers.
const INTERVAL: Duration = Duration::from_secs(10);
/// Wait before one that does not answer is asked again, at first and at most.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Checks the drafter for ever.
pub(super) async fn run(drafter: Arc<Drafter>) {
    let mut retry = Backoff::new(FIRST_RETRY, LAST_RETRY);
    loop {
        let began = Instant::now();
        let mut client = drafter.client.clone();
        let described = timeout(PATIENCE, client.describe(trace::request(()))).await;
        let reach = match described {
            Ok(Ok(description)) => learn(&drafter, description, began.elapsed()),
            Ok(Err(error)) => miss(&drafter, &error),
            Err(_) => note(&drafter, Reach::Lost, "no answer to Describe".to_owned()),
        };
        if reach == Reach::Reached {
            retry.reset();
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = drafter.lost.notified() => {}
            }
        } else {
            tokio::time::sleep(retry.next().unwrap_or(LAST_RETRY)).await;
        }
    }
}

fn learn(drafter: &Drafter, description: Description, took: Duration) -> Reach {
    let found = description.build.protocol_version;
    if found != PROTOCOL_VERSION {
        let spoken = PROTOCOL_VERSION;
        let error = ProtocolError::Version { found, spoken };
        return note(drafter, Reach::Incompatible, error.to_string());
    }
    let mut known = drafter.known();
    let is_news = known.reach != Reach::Reached || known.model.is_none();
    known.reach = Reach::Reached;
    known.observe_round_trip(took);
    known.fingerprint = Some(description.model.tokenizer_fingerprint);
    known.methods = description
        .methods
        .into_iter()
        .map(|method| method.name)
        .collect();
    if is_news {
        let (model, methods) = (&description.model.name, &known.methods);
        tracing::info!(
            address = drafter.address,
            model,
            ?methods,
            "drafter is there"
        );
    }
    known.model = Some(description.model.name);
    Reach::Reached
}

fn miss(drafter: &Drafter, error: &ClientError) -> Reach {
    let reach = match error {
        ClientError::Status(status) if status.code() != Code::Unimplemented => Reach::Lost,
        _ => Reach::Incompatible,
    };
    note(drafter, reach, super::reason(error))
}

/// Notes a failure; the log has it once, not at every attempt.
fn note(drafter: &Drafter, reach: Reach, error: String) -> Reach {
    let mut known = drafter.known();
    if known.reach != reach {
        tracing::warn!(
            address = drafter.address,
            ?reach,
            error,
            "drafter cannot be used"
        );
    }
    known.reach = reach;
    known.last_error = Some(error);
    reach
}
