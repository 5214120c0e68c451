//! A row of a tree has the bits that it would have at the end of its path, and what is kept of a tree is that path.

use std::pin::pin;
use std::sync::mpsc;

use inference::engine::{Engine, EngineError, EngineOptions, Session};

use crate::engines::{Rows, append, begin, copied, engine, fresh, options, same, stop};
use crate::model::Model;
use crate::passes::files;

/// A chain of six with leaves beside it, two ways to begin, a branch that goes on, and two leaves of one token.
const PARENTS: [u32; 16] = [0, 1, 2, 3, 4, 5, 0, 7, 8, 1, 1, 3, 4, 6, 6, 12];

fn tokens() -> Vec<u32> {
    Model::tokens(91, PARENTS.len())
}

/// The rows from the session's positions to one of the tree's.
fn path(mut row: usize) -> Vec<usize> {
    let mut path = vec![row];
    while PARENTS[row] > 0 {
        row = PARENTS[row] as usize - 1;
        path.insert(0, row);
    }
    path
}

fn spelled(path: &[usize]) -> Vec<u32> {
    path.iter().map(|row| tokens()[*row]).collect()
}

/// Appends the tree, of which `path` is kept.
async fn grow(session: &mut Session, path: Vec<usize>) -> Result<Rows, EngineError> {
    let read = |logits: inference::engine::Logits<'_>| (copied(logits), path);
    let passed = session.forward_tree(tokens(), &PARENTS, read).await?;
    Ok(passed.value)
}

/// The last row of a text in a session of its own.
async fn last(engine: &Engine, text: &[u32]) -> Vec<f32> {
    fresh(engine, text).await.pop().unwrap()
}

async fn rows_are_those_of_their_paths(engine: &Engine, prompt: &[u32], rows: &Rows) -> bool {
    for (row, logits) in rows.iter().enumerate() {
        let whole = [prompt, &spelled(&path(row))].concat();
        if !same(&vec![logits.clone()], &vec![last(engine, &whole).await]) {
            return false;
        }
    }
    rows.len() == PARENTS.len()
}

async fn for_each(lengths: &[usize], check: impl AsyncFn(&str, &Engine, &[u32])) {
    let folder = tempfile::tempdir().unwrap();
    let mut files = files(&folder);
    files.push(Model::of("qwen3").write_folder(folder.path()));
    for file in files {
        let engine = engine(&file, options());
        let name = engine.info().architecture.clone();
        for length in lengths {
            check(&name, &engine, &Model::tokens(92, *length)).await;
        }
    }
}

#[tokio::test]
async fn row_of_a_tree_equals_the_end_of_its_path_within_windows_and_past_them() {
    for_each(&[0, 1, 5, 9, 40], async |name, engine, prompt| {
        let mut session = engine.open().unwrap();
        if !prompt.is_empty() {
            append(&mut session, prompt).await;
        }
        let rows = grow(&mut session, Vec::new()).await.unwrap();
        assert_eq!(session.len(), prompt.len());
        let is_right = rows_are_those_of_their_paths(engine, prompt, &rows).await;
        assert!(is_right, "{name} behind {}", prompt.len());
    })
    .await;
}

#[tokio::test]
async fn session_goes_on_from_a_path_as_if_nothing_else_had_been_there() {
    for_each(&[3, 40], async |name, engine, prompt| {
        for kept in (0..PARENTS.len()).map(path).chain([Vec::new()]) {
            let mut session = engine.open().unwrap();
            append(&mut session, prompt).await;
            grow(&mut session, kept.clone()).await.unwrap();
            let text = [prompt, &spelled(&kept), &[7, 8, 9]].concat();
            assert_eq!(session.len(), text.len() - 3);
            let rows = append(&mut session, &[7, 8, 9]).await;
            let whole = fresh(engine, &text).await;
            let goes_on = same(&rows, &whole[text.len() - 3..].to_vec());
            assert!(goes_on, "{name} from {kept:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn many_trees_one_after_another_leave_one_text() {
    let folder = tempfile::tempdir().unwrap();
    let prefix_cache = 1 << 26;
    let options = EngineOptions {
        prefix_cache,
        ..options()
    };
    let engine = engine(&Model::of("gemma3").write_folder(folder.path()), options);
    let mut text = Model::tokens(93, 30);
    let mut session = engine.open().unwrap();
    append(&mut session, &text).await;
    for round in 0..30 {
        let kept = path(round * 7 % PARENTS.len());
        grow(&mut session, kept.clone()).await.unwrap();
        text.extend(spelled(&kept));
    }
    append(&mut session, &[5]).await;
    // What is known of the text is what was kept of it: a prompt that begins alike gets the same rows.
    let mut known = engine.open().unwrap();
    let passed = known.forward(text.clone(), 1, copied).await.unwrap();
    assert!(passed.reused >= 32, "{}", passed.reused);
    let alone = Model::of("gemma3").write_folder(folder.path());
    let alone = crate::engines::engine(&alone, crate::engines::options());
    let mut alone = alone.open().unwrap();
    let whole = alone.forward(text, 1, copied).await.unwrap();
    assert!(same(&passed.value, &whole.value));
}

#[tokio::test]
async fn trees_and_chains_that_share_a_pass_equal_each_alone() {
    for_each(&[12], async |name, engine, prompt| {
        let mut sessions: Vec<_> = (0..4).map(|_| engine.open().unwrap()).collect();
        let other = Model::tokens(94, 21);
        for (at, session) in sessions.iter_mut().enumerate().skip(1) {
            append(session, if at % 2 == 0 { prompt } else { &other }).await;
        }
        let (entered, inside) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let [first, a, b, c] = sessions.get_disjoint_mut([0, 1, 2, 3]).unwrap();
        let mut blocker = pin!(first.forward(vec![1], 1, stop(entered, gate)));
        begin(&mut blocker).await;
        inside.recv().unwrap();
        let chain = Model::tokens(95, 6);
        let mut one = pin!(grow(a, path(8)));
        let mut two = pin!(b.forward(chain.clone(), 6, copied));
        let mut three = pin!(c.forward_tree(tokens(), &PARENTS, |rows| {
            let together = rows.rows();
            ((copied(rows), together), path(15))
        }));
        begin(&mut one).await;
        begin(&mut two).await;
        begin(&mut three).await;
        open.send(()).unwrap();
        blocker.await.unwrap();
        let (one, two, three) = (one.await.unwrap(), two.await.unwrap(), three.await.unwrap());
        assert_eq!(three.batch_sessions, 3, "{name}: they never met");
        assert!(
            rows_are_those_of_their_paths(engine, &other, &one).await,
            "{name}"
        );
        assert!(
            rows_are_those_of_their_paths(engine, &other, &three.value.0).await,
            "{name}"
        );
        let whole = fresh(engine, &[prompt, &chain].concat()).await;
        assert!(same(&two.value, &whole[prompt.len()..].to_vec()), "{name}");
    })
    .await;
}

#[tokio::test]
async fn what_is_no_tree_and_what_is_no_path_is_refused_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&Model::of("gemma3").write_folder(folder.path()), options());
    let mut session = engine.open().unwrap();
    append(&mut session, &[1, 2, 3]).await;
    let none = |_: inference::engine::Logits<'_>| ((), Vec::new());
    let wrong: [(&[u32], usize); 4] =
        [(&[0, 1], 2), (&[1, 0, 0], 0), (&[0, 1, 9], 2), (&[0; 4], 3)];
    for (parents, token) in wrong {
        let refused = session.forward_tree(vec![4, 5, 6], parents, none).await;
        let expected = EngineError::Tree { token, tokens: 3 };
        assert_eq!(refused.err(), Some(expected), "{parents:?}");
    }
    let (many, parents) = (vec![4; 10_000], vec![0; 10_000]);
    let refused = session.forward_tree(many, &parents, none).await;
    assert!(matches!(refused.err(), Some(EngineError::Rows { .. })));
    for rows in [vec![1], vec![0, 2], vec![0, 0], vec![3, 0], vec![99]] {
        let refused = grow(&mut session, rows.clone()).await;
        assert_eq!(refused.err(), Some(EngineError::Path { rows }));
        assert_eq!(session.len(), 3);
    }
    // A chain has no path but its beginning.
    let kept = |path: Vec<usize>| move |_: inference::engine::Logits<'_>| ((), path);
    let refused = session.forward_tree(vec![4, 5], &[], kept(vec![1])).await;
    assert!(matches!(refused.err(), Some(EngineError::Path { .. })));
    session
        .forward_tree(vec![4, 5], &[], kept(vec![0]))
        .await
        .unwrap();
    assert_eq!(session.len(), 4);
    let rows = append(&mut session, &[6]).await;
    let whole = fresh(&engine, &[1, 2, 3, 4, 6]).await;
    assert!(same(&rows, &whole[4..].to_vec()));
}

#[tokio::test]
async fn tree_that_nobody_waits_for_any_more_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&Model::of("qwen2").write_folder(folder.path()), options());
    let mut session = engine.open().unwrap();
    append(&mut session, &[1, 2, 3]).await;
    let (entered, inside) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    {
        let read = move |_: inference::engine::Logits<'_>| {
            entered.send(()).unwrap();
            gate.recv().unwrap();
            ((), path(15))
        };
        let mut tree = pin!(session.forward_tree(tokens(), &PARENTS, read));
        begin(&mut tree).await;
        // Its rows are being read.
        inside.recv().unwrap();
    }
    open.send(()).unwrap();
    let rows = append(&mut session, &[4]).await;
    assert!(same(
        &rows,
        &fresh(&engine, &[1, 2, 3, 4]).await[3..].to_vec()
    ));
}

#[tokio::test]
async fn room_is_what_is_left_of_the_context_and_of_a_pass() {
    let folder = tempfile::tempdir().unwrap();
    let options = EngineOptions {
        context: Some(20),
        max_batch_rows: 8,
        ..options()
    };
    let engine = engine(&Model::of("llama").write_folder(folder.path()), options);
    let mut session = engine.open().unwrap();
    assert_eq!(session.room(), 8);
    session.forward(vec![5; 15], 0, |_| ()).await.unwrap();
    assert_eq!(session.room(), 5);
}

/// The tree in passes of so many tokens each, behind a prompt; the rows of all of them.
async fn grow_by(session: &mut Session, sizes: &[usize]) -> Rows {
    let (mut rows, mut done) = (Rows::new(), 0);
    for size in sizes {
        let end = done + size;
        let next = tokens()[done..end].to_vec();
        let passed = session.forward_branches(next, &PARENTS[..end], copied);
        rows.extend(passed.await.unwrap().value);
        done = end;
    }
    rows
}

#[tokio::test]
async fn tree_that_grows_pass_by_pass_has_the_rows_of_one_pass() {
    for_each(&[0, 5, 9, 40], async |name, engine, prompt| {
        for sizes in [&[1, 4, 11][..], &[6, 10], &[16]] {
            let mut session = engine.open().unwrap();
            if !prompt.is_empty() {
                append(&mut session, prompt).await;
            }
            let rows = grow_by(&mut session, sizes).await;
            assert_eq!(session.len(), prompt.len() + PARENTS.len());
            let is_right = rows_are_those_of_their_paths(engine, prompt, &rows).await;
            assert!(is_right, "{name} behind {}, {sizes:?}", prompt.len());
        }
    })
    .await;
}

#[tokio::test]
async fn last_positions_of_a_text_may_become_a_tree_and_a_way_through_it_a_text() {
    for_each(&[9, 40], async |name, engine, prompt| {
        // The chain of six has come as a text; then what is beside it in two passes.
        for kept in (0..PARENTS.len()).map(path).chain([Vec::new()]) {
            let mut session = engine.open().unwrap();
            append(&mut session, &[prompt, &tokens()[..6]].concat()).await;
            for (from, to) in [(6, 9), (9, 16)] {
                let next = tokens()[from..to].to_vec();
                let passed = session.forward_branches(next, &PARENTS[..to], |_| ());
                passed.await.unwrap();
            }
            let at: Vec<usize> = kept.iter().map(|row| prompt.len() + row).collect();
            session.keep_path(prompt.len(), &at);
            // What has not moved yet can be forgotten, too, and gone on from.
            let left = kept.len().min(3);
            session.truncate(prompt.len() + left);
            let text = [prompt, &spelled(&kept[..left]), &[7, 8, 9]].concat();
            let rows = append(&mut session, &[7, 8, 9]).await;
            assert_eq!(session.len(), text.len());
            let whole = fresh(engine, &text).await;
            let goes_on = same(&rows, &whole[text.len() - 3..].to_vec());
            assert!(goes_on, "{name} from {kept:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn way_through_a_tree_may_be_narrowed_before_it_has_moved() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&Model::of("llama").write_folder(folder.path()), options());
    let prompt = Model::tokens(94, 9);
    let mut session = engine.open().unwrap();
    append(&mut session, &prompt).await;
    grow_by(&mut session, &[16]).await;
    let at: Vec<usize> = path(15).iter().map(|row| 9 + row).collect();
    session.keep_path(9, &at);
    session.keep_path(10, &[10, 11]);
    let kept = &path(15)[..3];
    let rows = append(&mut session, &[7]).await;
    let whole = fresh(&engine, &[&prompt[..], &spelled(kept), &[7]].concat()).await;
    assert!(same(&rows, &whole[12..].to_vec()));
}

#[tokio::test]
async fn branch_that_follows_what_is_not_there_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(&Model::of("llama").write_folder(folder.path()), options());
    let mut session = engine.open().unwrap();
    append(&mut session, &[1, 2]).await;
    for parents in [&[][..], &[0, 1, 2, 3], &[0, 1, 4]] {
        let refused = session.forward_branches(vec![3], parents, |_| ()).await;
        assert!(
            matches!(refused, Err(EngineError::Tree { .. })),
            "{parents:?}"
        );
    }
    assert!(same(
        &append(&mut session, &[4]).await,
        &vec![last(&engine, &[1, 2, 4]).await]
    ));
}
