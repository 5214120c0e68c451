//! What passes of the target cost by their rows, measured before the first request comes.
//!
//! How long blocks should be follows from it. What passes happen to take later cannot tell: one that took long had many rows,
//! or the machine other work. Here sizes are measured in turn and in a moment.

use std::time::Duration;

use alignment::goodput::VerifyCost;
use inference::engine::{Engine, EngineError};

/// Rows of the passes that are measured, as far as a pass may have so many.
const ROWS: [usize; 5] = [1, 2, 4, 8, 16];
/// How often each is measured; the quickest counts.
const TURNS: usize = 3;

/// Takes as long as some eighty rows of the model, half a second to a few.
pub(crate) async fn measure(engine: &Engine) -> VerifyCost {
    match passes(engine).await {
        Ok(passes) => {
            let millis = passes
                .iter()
                .map(|(rows, took)| format!("{rows}: {:.1}", 1e3 * took.as_secs_f64()));
            let millis = millis.collect::<Vec<_>>().join(", ");
            tracing::info!(rows_and_milliseconds = millis, "passes of the target");
            VerifyCost::measured(&passes)
        }
        Err(error) => {
            tracing::warn!(%error, "cannot measure what passes of the target cost");
            VerifyCost::default()
        }
    }
}

async fn passes(engine: &Engine) -> Result<Vec<(usize, Duration)>, EngineError> {
    let mut session = engine.open()?;
    // What the first pass of a process takes says nothing about others.
    session.forward(vec![0], 1, |_| ()).await?;
    let room = session.room();
    let sizes = ROWS.into_iter().filter(|rows| *rows <= room);
    let mut best: Vec<_> = sizes.map(|rows| (rows, Duration::MAX)).collect();
    for _ in 0..TURNS {
        for (rows, least) in &mut best {
            let passed = session.forward(vec![0; *rows], *rows, |_| ()).await?;
            *least = passed.compute.min(*least);
            session.truncate(1);
        }
    }
    Ok(best)
}
