//! A row's logits are a function of the tokens before it, bit for bit, however they came into the cache.

use std::pin::pin;
use std::sync::mpsc;

use candle_core::quantized::GgmlDType;
use inference::engine::{Engine, EngineOptions};
use tempfile::TempDir;

use crate::engines::{Rows, append, begin, copied, engine, fresh, options, same, stop};
use crate::model::Model;

/// Past every window, and past the room that a new cache has for a layer's first positions.
const LONG: usize = 53;

/// Files of models that exercise every kernel: float and quantised products, windows, head norms, biases.
pub(crate) fn files(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = ["mistral", "qwen2", "gemma3"]
        .map(|kind| Model::of(kind).write_folder(folder.path()))
        .into();
    let quantised = Model {
        hidden: 256,
        heads: 8,
        head_dim: 32,
        inner: 256,
        ..Model::of("llama")
    };
    files.push(quantised.write_gguf(folder.path(), |name| match name {
        "token_embd.weight" => GgmlDType::Q8_0,
        name if name.contains("attn_v") || name.contains("ffn_down") => GgmlDType::Q6K,
        name if name.contains("attn_q") => GgmlDType::Q4_1,
        name if name.contains("attn_k") => GgmlDType::Q5_0,
        name if name.contains("ffn_up") => GgmlDType::F16,
        name if name.contains("output") => GgmlDType::Q4_0,
        _ => GgmlDType::Q4K,
    }));
    files
}

fn tokens() -> Vec<u32> {
    Model::tokens(11, LONG)
}

async fn for_each(check: impl AsyncFn(&str, &Engine)) {
    let folder = tempfile::tempdir().unwrap();
    for file in files(&folder) {
        let engine = engine(&file, options());
        let name = engine.info().architecture.clone();
        check(&name, &engine).await;
    }
}

#[tokio::test]
async fn blocks_of_any_size_equal_one_pass() {
    for_each(async |name, engine| {
        let whole = fresh(engine, &tokens()).await;
        for size in 1..=17 {
            let mut session = engine.open().unwrap();
            let mut rows = Rows::new();
            for block in tokens().chunks(size) {
                rows.extend(append(&mut session, block).await);
            }
            assert!(same(&rows, &whole), "{name} in blocks of {size}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_suffix_that_was_forgotten_leaves_no_trace() {
    for_each(async |name, engine| {
        let mut session = engine.open().unwrap();
        let other = Model::tokens(12, 20);
        // Within the window, past it, back to the start, and far enough for the cache to grow.
        for kept in [40, 52, 7, 1, 0, 30] {
            session.truncate(0);
            append(&mut session, &tokens()).await;
            session.truncate(kept);
            let mut expected = tokens()[..kept].to_vec();
            expected.extend(&other);
            let rows = append(&mut session, &other).await;
            let whole = fresh(engine, &expected).await;
            assert_eq!(session.len(), expected.len());
            assert!(same(&rows, &whole[kept..].to_vec()), "{name} at {kept}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cache_that_grows_keeps_its_positions() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["llama", "gemma3"] {
        let model = Model {
            context: 600,
            ..Model::of(kind)
        };
        let options = EngineOptions {
            context: Some(600),
            max_batch_rows: 600,
            ..options()
        };
        let engine = engine(&model.write_folder(folder.path()), options);
        let tokens = Model::tokens(13, 600);
        let whole = fresh(&engine, &tokens).await;
        let mut session = engine.open().unwrap();
        let mut rows = append(&mut session, &tokens[..250]).await;
        rows.extend(append(&mut session, &tokens[250..520]).await);
        // Back below the first size, and over it again.
        session.truncate(200);
        rows.truncate(200);
        rows.extend(append(&mut session, &tokens[200..]).await);
        assert!(same(&rows, &whole), "{kind}");
    }
}

#[tokio::test]
async fn sessions_that_share_a_pass_equal_each_alone() {
    for_each(async |name, engine| {
        let mut sessions: Vec<_> = (0..4).map(|_| engine.open().unwrap()).collect();
        let prompts = [(21, 9), (22, 30), (23, 1), (24, 17)].map(|(s, n)| Model::tokens(s, n));
        let added = [(31, 1), (32, 5), (33, 12), (34, 2)].map(|(s, n)| Model::tokens(s, n));
        for (session, prompt) in sessions.iter_mut().zip(&prompts) {
            append(session, prompt).await;
        }
        // While the thread reads one session's logits, the others' commands queue up.
        let mut first = engine.open().unwrap();
        let ((entered, inside), (open, gate)) = (mpsc::channel(), mpsc::channel());
        let mut blocker = pin!(first.forward(vec![1], 1, stop(entered, gate)));
        begin(&mut blocker).await;
        inside.recv().unwrap();
        let [a, b, c, d] = sessions.get_disjoint_mut([0, 1, 2, 3]).unwrap();
        let (held, a, b, c, d, ()) = tokio::join!(
            blocker,
            a.forward(added[0].clone(), 1, copied),
            b.forward(added[1].clone(), 5, copied),
            c.forward(added[2].clone(), 3, copied),
            d.forward(added[3].clone(), 0, copied),
            async { open.send(()).unwrap() },
        );
        held.unwrap();
        for (index, passed) in [a, b, c, d].into_iter().enumerate() {
            let passed = passed.unwrap();
            assert_eq!((passed.batch_sessions, passed.batch_rows), (4, 20));
            let tokens = [prompts[index].clone(), added[index].clone()].concat();
            let whole = fresh(engine, &tokens).await;
            let rows = [1, 5, 3, 0][index];
            assert_eq!(passed.value.len(), rows);
            let expected = whole[whole.len() - rows..].to_vec();
            assert!(same(&passed.value, &expected), "{name}, session {index}");
        }
    })
    .await;
}

#[tokio::test]
async fn threads_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    for file in files(&folder) {
        let mut runs = Vec::new();
        for threads in [1, 2, 3] {
            let options = EngineOptions {
                threads,
                ..options()
            };
            let engine = engine(&file, options);
            let mut session = engine.open().unwrap();
            let mut rows = append(&mut session, &tokens()[..40]).await;
            for token in &tokens()[40..] {
                rows.extend(append(&mut session, &[*token]).await);
            }
            runs.push(rows);
        }
        assert!(
            same(&runs[0], &runs[1]) && same(&runs[0], &runs[2]),
            "{file:?}"
        );
    }
}

#[tokio::test]
async fn prompts_longer_than_a_pass_are_split_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    for file in files(&folder) {
        let whole = fresh(&engine(&file, options()), &tokens()).await;
        for max_batch_rows in [1, 5, 16, 52] {
            let options = EngineOptions {
                max_batch_rows,
                ..options()
            };
            let engine = engine(&file, options);
            let (mut long, mut short) = (engine.open().unwrap(), engine.open().unwrap());
            let rows = max_batch_rows.min(3);
            let (passed, other) = tokio::join!(
                long.forward(tokens(), rows, copied),
                short.forward(vec![5], 1, copied),
            );
            let passed = passed.unwrap();
            assert!(passed.batch_rows <= max_batch_rows);
            let expected = whole[LONG - rows..].to_vec();
            assert!(same(&passed.value, &expected), "{file:?}, {max_batch_rows}");
            let alone = fresh(&engine, &[5]).await;
            assert!(same(&other.unwrap().value, &alone), "{file:?}");
        }
    }
}
