//! What prompts have in common is computed once, and nobody could tell from the logits.

use std::pin::pin;
use std::sync::mpsc;

use inference::engine::{Engine, EngineOptions, PrefixLoad, Session};

use crate::engines::{Rows, append, begin, copied, engine, fresh, options, same, stop};
use crate::model::Model;
use crate::passes::files;

/// Positions that are kept together.
const BLOCK: usize = 32;

fn keeping(prefix_cache: u64) -> EngineOptions {
    EngineOptions {
        prefix_cache,
        ..options()
    }
}

const PLENTY: u64 = 1 << 26;

/// Shows a prompt to a session; gives the logits after its last `rows` tokens, and how many were not computed.
async fn show(session: &mut Session, prompt: &[u32], rows: usize) -> (Rows, usize) {
    let passed = session.forward(prompt.to_vec(), rows, copied).await;
    let passed = passed.unwrap();
    (passed.value, passed.reused)
}

/// The same in a session of its own.
async fn once(engine: &Engine, prompt: &[u32], rows: usize) -> (Rows, usize) {
    show(&mut engine.open().unwrap(), prompt, rows).await
}

fn prefixes(engine: &Engine) -> PrefixLoad {
    engine.load_now().prefixes
}

#[tokio::test]
async fn what_was_seen_gives_the_bits_of_computing_anew() {
    let folder = tempfile::tempdir().unwrap();
    for file in files(&folder) {
        let whole_at_once = EngineOptions {
            max_batch_rows: 256,
            ..options()
        };
        let (anew, kept) = (engine(&file, whole_at_once), engine(&file, keeping(PLENTY)));
        let prompt = Model::tokens(41, 150);
        assert_eq!(once(&kept, &prompt, 1).await.1, 0);
        // Longer and shorter prompts, which part within a block, at its border, and at once.
        for common in [150, 149, 128, 127, 97, 96, 33, 32, 31, 0] {
            let own = Model::tokens(42 + common as u64, 40);
            let prompt = [&prompt[..common], &own].concat();
            let whole = fresh(&anew, &prompt).await;
            let mut session = kept.open().unwrap();
            let (rows, reused) = show(&mut session, &prompt, 3).await;
            assert_eq!(reused, common / BLOCK * BLOCK, "{file:?} at {common}");
            assert!(same(&rows, &whole[whole.len() - 3..].to_vec()), "{file:?}");
            // And what follows it.
            let rows = append(&mut session, &[5, 6]).await;
            let whole = fresh(&anew, &[&prompt[..], &[5, 6]].concat()).await;
            assert!(same(&rows, &whole[whole.len() - 2..].to_vec()), "{file:?}");
        }
    }
}

#[tokio::test]
async fn rows_that_are_wanted_are_computed_though_all_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let file = Model::of("gemma3").write_folder(folder.path());
    let (anew, kept) = (engine(&file, options()), engine(&file, keeping(PLENTY)));
    let prompt = Model::tokens(43, 2 * BLOCK);
    let whole = fresh(&anew, &prompt).await;
    assert_eq!(once(&kept, &prompt, 0).await.1, 0);
    assert_eq!(once(&kept, &prompt, 1).await.1, BLOCK);
    // Without rows there is nothing to compute, and the session stands where it would.
    let mut session = kept.open().unwrap();
    let passed = session.forward(prompt.clone(), 0, copied).await.unwrap();
    assert_eq!((passed.reused, passed.passes), (2 * BLOCK, 0));
    assert_eq!(session.len(), prompt.len());
    session.truncate(50);
    let rows = append(&mut session, &prompt[50..]).await;
    assert!(same(&rows, &whole[50..].to_vec()));
    let (rows, reused) = once(&kept, &prompt, prompt.len()).await;
    assert!(same(&rows, &whole) && reused == 0);
    let counts = prefixes(&kept);
    assert_eq!((counts.hits, counts.misses), (2, 1));
    assert_eq!(counts.tokens, 3 * BLOCK as u64);
}

#[tokio::test]
async fn a_reply_is_known_when_it_comes_back_in_a_prompt_and_what_was_rejected_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = Model::of("qwen2").write_folder(folder.path());
    let (anew, kept) = (engine(&file, options()), engine(&file, keeping(PLENTY)));
    let prompt = Model::tokens(44, 20);
    let mut session = kept.open().unwrap();
    show(&mut session, &prompt, 0).await;
    let reply = Model::tokens(45, 60);
    let mut committed = prompt.clone();
    for token in &reply {
        // A block of three, of which one stands.
        append(&mut session, &[*token, 7, 8]).await;
        committed.push(*token);
        session.truncate(committed.len());
    }
    append(&mut session, &[9]).await;
    committed.extend(Model::tokens(46, 10));
    let (rows, reused) = once(&kept, &committed, 1).await;
    assert_eq!(reused, 2 * BLOCK);
    assert!(same(&rows, &fresh(&anew, &committed).await[89..].to_vec()));
    let rejected = [&committed[..BLOCK - 2], &[7, 8], &committed[BLOCK..]].concat();
    assert_eq!(once(&kept, &rejected, 1).await.1, 0);
}

#[tokio::test]
async fn memory_stays_within_the_limit_and_what_was_not_used_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = Model::of("llama").write_folder(folder.path());
    let prompts = [51, 52, 53].map(|seed| Model::tokens(seed, 2 * BLOCK + 1));
    let probe = engine(&file, keeping(PLENTY));
    once(&probe, &prompts[0], 1).await;
    let two_blocks = prefixes(&probe).bytes;
    // Room for two of three prompts.
    let limit = 2 * two_blocks;
    let kept = engine(&file, keeping(limit));
    for prompt in &prompts[..2] {
        assert_eq!(once(&kept, prompt, 1).await.1, 0);
    }
    assert_eq!(once(&kept, &prompts[0], 1).await.1, 2 * BLOCK);
    once(&kept, &prompts[2], 1).await;
    assert_eq!(prefixes(&kept).bytes, limit);
    assert_eq!(once(&kept, &prompts[0], 1).await.1, 2 * BLOCK);
    assert_eq!(once(&kept, &prompts[1], 1).await.1, 0);
    // A prompt that is larger than the memory leaves its beginning there.
    let long = Model::tokens(54, 200);
    once(&kept, &long, 1).await;
    assert_eq!(prefixes(&kept).bytes, limit);
    assert_eq!(once(&kept, &long, 1).await.1, 4 * BLOCK);
    let mut random = 1_u64;
    for seed in 0..60 {
        random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
        let shared = (random >> 33) as usize % 100;
        let prompt = [&long[..shared], &Model::tokens(60 + seed, 70)].concat();
        once(&kept, &prompt, 1).await;
        assert!(prefixes(&kept).bytes <= limit);
    }
    // A block does not fit at all.
    let none = engine(&file, keeping(two_blocks / 2 - 1));
    for _ in 0..2 {
        assert_eq!(once(&none, &long, 1).await.1, 0);
        assert_eq!(prefixes(&none).bytes, 0);
    }
}

#[tokio::test]
async fn sessions_are_not_charged_for_what_is_kept_and_keep_nothing_alive() {
    let folder = tempfile::tempdir().unwrap();
    let file = Model::of("mistral").write_folder(folder.path());
    let kept = engine(&file, keeping(PLENTY));
    let prompt = Model::tokens(47, 100);
    let mut first = kept.open().unwrap();
    show(&mut first, &prompt, 1).await;
    let alone = kept.load_now();
    assert!(alone.cache_bytes > 0 && alone.prefixes.bytes > 0);
    let mut second = kept.open().unwrap();
    show(&mut second, &prompt, 1).await;
    drop(first);
    append(&mut second, &[1]).await;
    let after = kept.load_now();
    assert_eq!(after.cache_bytes, alone.cache_bytes);
    assert_eq!(after.prefixes.bytes, alone.prefixes.bytes);
}

#[tokio::test]
async fn without_memory_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&Model::of("llama").write_folder(folder.path()), options());
    let prompt = Model::tokens(48, 100);
    for _ in 0..2 {
        assert_eq!(once(&engine, &prompt, 1).await.1, 0);
    }
    assert_eq!(prefixes(&engine), PrefixLoad::default());
}

#[tokio::test]
async fn prompts_that_arrive_together_and_begin_alike_are_computed_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = Model::of("gemma3").write_folder(folder.path());
    let options = EngineOptions {
        max_batch_rows: BLOCK,
        ..keeping(PLENTY)
    };
    let engine = engine(&file, options);
    let prompt = Model::tokens(49, 200);
    let [mut gate_keeper, mut a, mut b, mut c] = [(); 4].map(|()| engine.open().unwrap());
    let ((entered, inside), (open, gate)) = (mpsc::channel(), mpsc::channel());
    let mut blocker = pin!(gate_keeper.forward(vec![1], 1, stop(entered, gate)));
    begin(&mut blocker).await;
    inside.recv().unwrap();
    let (held, a, b, c, ()) = tokio::join!(
        blocker,
        a.forward(prompt.clone(), 1, copied),
        b.forward(prompt.clone(), 1, copied),
        c.forward(prompt.clone(), 1, copied),
        async { open.send(()).unwrap() },
    );
    held.unwrap();
    let [a, b, c] = [a, b, c].map(Result::unwrap);
    assert!(same(&a.value, &b.value) && same(&a.value, &c.value));
    let computed: usize = [&a, &b, &c].iter().map(|passed| 200 - passed.reused).sum();
    assert!(computed < 300, "{computed} tokens computed of 600");
}
