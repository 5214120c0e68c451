//! Cost of the target's passes by their rows, measured before the first request comes.
//!
//! The best length of blocks follows from it. Later passes alone do not show it: a slow one had
//! many rows, or the machine had other work. Here sizes are measured in turn, in a short time.

use std::time::Duration;

use inference::engine::{Engine, EngineError};
use pacing::VerifyCost;

/// Rows of the measured passes, as far as a pass may have so many.
const ROWS: [usize; 5] = [1, 2, 4, 8, 16];
/// Measurements of each size; the quickest counts.
const TURNS: usize = 3;

/// Measures the passes, some 90 rows in all: a second or two for 1.5 billion parameters on a core.
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
    // The first pass of a process says nothing about others.
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

#[cfg(test)]
mod tests {
    use inference::engine::EngineOptions;

    use super::*;

    const PROFILE: &str = r#"
        name = "simulated: four milliseconds a pass, and one a row"
        pass_micros = 4000.0
        row_micros = 1000.0
        position_micros = 0.0
        agreement = 1.0
        seed = 0
        context = 64
    "#;

    #[tokio::test]
    async fn what_is_found_is_what_passes_take() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        std::fs::write(&path, PROFILE).unwrap();
        let engine = Engine::load(&path, EngineOptions::default()).unwrap();
        let cost = measure(&engine).await;
        // A sleep takes a little longer than asked for, by the same for all of them.
        let row = (cost.predict(17.0) - cost.predict(1.0)) / 16.0;
        assert!((row - 1e-3).abs() < 2e-4, "{row}");
        assert!((5e-3..8e-3).contains(&cost.predict(1.0)));
        assert_eq!(engine.load_now().sessions, 0);
    }
}
