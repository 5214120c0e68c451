//! Check of a drafter's tokenizer against the target's, by the vocabulary that the drafter sends.

use std::{future::Future, sync::Arc, time::Duration};

use chassis::trace;
use proto::{
    ClientError,
    verifier::{CheckPair, CheckedPair},
};
use tokio::time::timeout;

use super::Verifier;
use crate::{
    drafters,
    error::CheckPairError,
    pair::{Drafter, Pair},
};

/// Longest time for a drafter's description, and for its whole vocabulary.
const PATIENCE: Duration = Duration::from_secs(30);

impl Verifier {
    /// Compares the target's tokenizer with that of a drafter.
    pub(crate) async fn check_pair(
        &self,
        request: CheckPair,
    ) -> Result<CheckedPair, CheckPairError> {
        if self.shared.lifecycle.stopping().is_cancelled() {
            return Err(CheckPairError::Stopping);
        }
        let permit = Arc::clone(&self.checks).try_acquire_owned();
        let permit = permit.map_err(|_| CheckPairError::Busy)?;
        let found = self.shared.drafters.find(request.drafter.as_deref());
        let (address, mut client) = found.ok_or(CheckPairError::Unknown {
            address: request.drafter,
        })?;
        let described = answer(&address, client.describe(trace::request(()))).await?;
        let table = answer(&address, client.vocabulary(trace::request(()))).await?;
        let (target, name) = (
            Arc::clone(&self.shared.target),
            self.serving.model_name.clone(),
        );
        let compare = move || {
            // The permit lasts as long as the work, even if the caller has left.
            let _permit = permit;
            let drafter = Drafter::Vocabulary(&table, &described.model.tokenizer_family);
            Pair {
                target_name: &name,
                target: target.tokenizer(),
                drafter_name: &described.model.name,
                drafter,
            }
            .report()
        };
        let compared = self.shared.lifecycle.tasks().spawn_blocking(compare).await;
        let report = compared.map_err(|_| CheckPairError::Failed)?;
        Ok(CheckedPair { address, report })
    }
}

async fn answer<T>(
    address: &str,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, CheckPairError> {
    let silent = |why: String| CheckPairError::Drafter {
        address: address.to_owned(),
        why,
    };
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| silent(drafters::reason(&error))),
        Err(_) => Err(silent(format!("no answer within {PATIENCE:?}"))),
    }
}
