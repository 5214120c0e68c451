//! How sessions share passes: nobody's next token waits for another's prompt, and every prompt ends.

use std::pin::{Pin, pin};
use std::sync::mpsc;

use inference::engine::{Engine, EngineError, EngineOptions, Passed, Session};

use crate::engines::{Rows, append, begin, copied, engine, options, same, stop};
use crate::model::Model;

const ROWS: usize = 16;

fn tiny() -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let file = Model::of("gemma3").write_folder(folder.path());
    let options = EngineOptions {
        max_batch_rows: ROWS,
        ..options()
    };
    engine(&file, options)
}

type Pass<'a> = Pin<Box<dyn Future<Output = Result<Passed<Rows>, EngineError>> + 'a>>;

/// Stops the thread while commands `enter` its queue, so that it takes them up all at once.
async fn while_stopped(engine: &Engine, enter: impl AsyncFnOnce()) {
    let mut gate_keeper = engine.open().unwrap();
    let ((entered, inside), (open, gate)) = (mpsc::channel(), mpsc::channel());
    let mut blocker = pin!(gate_keeper.forward(vec![1], 1, stop(entered, gate)));
    begin(&mut blocker).await;
    inside.recv().unwrap();
    enter().await;
    open.send(()).unwrap();
    blocker.await.unwrap();
}

/// What commands give that the thread takes up at once.
async fn together(engine: &Engine, mut commands: Vec<Pass<'_>>) -> Vec<Passed<Rows>> {
    while_stopped(engine, async || {
        for command in &mut commands {
            begin(command).await;
        }
    })
    .await;
    let mut passed = Vec::new();
    for command in commands {
        passed.push(command.await.unwrap());
    }
    passed
}

fn command<'a>(session: &'a mut Session, tokens: &[u32], rows: usize) -> Pass<'a> {
    Box::pin(session.forward(tokens.to_vec(), rows, copied))
}

#[tokio::test]
async fn each_token_takes_one_pass_while_a_long_prompt_is_taken_in() {
    let engine = tiny();
    let (mut long, mut decoding) = (engine.open().unwrap(), engine.open().unwrap());
    let prompt = Model::tokens(61, 240);
    let mut text = Model::tokens(62, 3);
    append(&mut decoding, &text).await;
    let mut prefill = pin!(long.forward(prompt.clone(), 1, copied));
    let mut decode = pin!(async {
        let mut shared = 0;
        for token in 0..60 {
            let passed = decoding.forward(vec![token], 1, copied).await.unwrap();
            assert_eq!(passed.passes, 1);
            // A quarter of the pass is the prompt's.
            assert!(passed.batch_rows <= 1 + ROWS / 4);
            shared += usize::from(passed.batch_sessions == 2);
            text.push(token);
            assert!(same(&passed.value, &fresh_in_parts(&engine, &text).await));
        }
        shared
    });
    while_stopped(&engine, async || {
        begin(&mut prefill).await;
        begin(&mut decode).await;
    })
    .await;
    let (passed, shared) = tokio::join!(prefill, decode);
    let passed = passed.unwrap();
    assert!(shared > 0, "the two never met");
    assert!(passed.passes >= 240 / ROWS as u32);
    let whole = fresh_in_parts(&engine, &prompt).await;
    assert!(same(&passed.value, &whole));
}

/// The last row of a text, in passes of a session that is alone.
async fn fresh_in_parts(engine: &Engine, prompt: &[u32]) -> Rows {
    let mut session = engine.open().unwrap();
    let mut rows = Rows::new();
    for part in prompt.chunks(ROWS) {
        rows = append(&mut session, part).await;
    }
    rows.split_off(rows.len() - 1)
}

#[tokio::test]
async fn a_short_prompt_overtakes_long_ones_and_a_token_waits_for_none() {
    let engine = tiny();
    let mut sessions: Vec<_> = (0..8).map(|_| engine.open().unwrap()).collect();
    let prompts: Vec<_> = (0..6).map(|seed| Model::tokens(70 + seed, 200)).collect();
    let [short, token] = [Model::tokens(80, 20), vec![5]];
    let mut all = prompts.clone();
    all.extend([short, token]);
    let commands = sessions.iter_mut().zip(&all);
    let commands = commands.map(|(session, tokens)| command(session, tokens, 1));
    let passed = together(&engine, commands.collect()).await;
    let turns: Vec<u32> = passed.iter().map(|passed| passed.passes).collect();
    assert_eq!(turns[7], 1, "{turns:?}");
    // Half of a quarter of each pass, or more.
    assert!(turns[6] <= 20 / 2, "{turns:?}");
    // The first of the long ones has at least the other half.
    assert!(turns[0] <= 200 / 2, "{turns:?}");
    // As many passes as there are rows, and no more: none of them ran half empty.
    let last = turns.iter().max().unwrap();
    assert!(*last <= 1221_u32.div_ceil(4) + 8, "{turns:?}");
    for (passed, prompt) in passed.iter().zip(&all) {
        assert!(same(&passed.value, &fresh_in_parts(&engine, prompt).await));
    }
}

#[tokio::test]
async fn a_block_of_a_whole_pass_does_not_shut_out_tokens_nor_they_it() {
    let engine = tiny();
    let mut sessions: Vec<_> = (0..5).map(|_| engine.open().unwrap()).collect();
    let block = Model::tokens(81, ROWS);
    let sizes = [ROWS, 1, ROWS, 1, ROWS];
    let commands = sessions.iter_mut().zip(sizes);
    let commands = commands.map(|(session, size)| command(session, &block[..size], size));
    let passed = together(&engine, commands.collect()).await;
    let turns: Vec<u32> = passed.iter().map(|passed| passed.passes).collect();
    assert_eq!(turns, [1, 2, 3, 2, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_come_back_at_once_go_on_sharing_passes() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile.toml");
    let costs = "pass_micros = 30000.0\nrow_micros = 10.0\nposition_micros = 0.0";
    let rest = "name = \"slow\"\nagreement = 1.0\nseed = 0\ncontext = 256";
    std::fs::write(&profile, format!("{rest}\n{costs}\n")).unwrap();
    let engine = engine(&profile, options());
    let decode = async |mut session: Session| {
        let mut shared = 0;
        for token in 0..16 {
            let passed = session.forward(vec![token], 1, copied).await.unwrap();
            shared += usize::from(passed.batch_sessions == 2);
        }
        shared
    };
    // The second comes in the middle of a pass of the first.
    let (first, second) = (engine.open().unwrap(), engine.open().unwrap());
    let later = async {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        decode(second).await
    };
    let (first, second) = tokio::join!(decode(first), later);
    // Were the thread to begin with whoever is back first, they would take turns for good.
    assert!(first.min(second) > 8, "{first} and {second} of 16 shared");
}
