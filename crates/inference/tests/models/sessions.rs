//! How sessions and engines begin, are refused, are abandoned and end.

use std::cell::RefCell;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use inference::engine::{
    Engine, EngineError, EngineOptions, Load, LoadError, Logits, PrefixLoad, Session,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::engines::{append, begin, copied, engine, fresh, options, same, stop};
use crate::model::Model;

/// An engine over a tiny model; the folder goes when its handle does, since the files are mapped.
fn tiny(options: EngineOptions) -> Engine {
    let folder = tempfile::tempdir().unwrap();
    engine(&Model::of("gemma3").write_folder(folder.path()), options)
}

/// A session that holds the tokens 1, 2 and 3, and nothing that was refused or given up, goes on as a fresh one would.
async fn goes_on_behind_three(engine: &Engine, session: &mut Session) {
    assert_eq!(session.len(), 3);
    let rows = append(session, &[4]).await;
    let whole = fresh(engine, &[1, 2, 3, 4]).await;
    assert!(same(&rows, &whole[3..].to_vec()));
}

#[tokio::test]
async fn sessions_are_refused_beyond_the_limit_and_admitted_when_one_is_closed() {
    let engine = tiny(EngineOptions {
        max_sessions: 2,
        ..options()
    });
    let first = engine.open().unwrap();
    let _second = engine.open().unwrap();
    let refused = EngineError::Full {
        what: "sessions",
        limit: 2,
    };
    assert_eq!(engine.open().err(), Some(refused));
    assert_eq!(engine.load_now().sessions, 2);
    drop(first);
    assert!(engine.open().is_ok());
}

/// An engine whose thread is held in a pass by one session while a second one's command fills the queue. Both end when the
/// sender is used or dropped.
struct FullQueue {
    engine: Engine,
    open: mpsc::Sender<()>,
    commands: JoinSet<()>,
}

impl FullQueue {
    async fn new() -> Self {
        let engine = tiny(EngineOptions {
            queue: 1,
            ..options()
        });
        let (entered, inside) = mpsc::channel();
        let (open, gate) = mpsc::channel();
        let mut commands = JoinSet::new();
        let mut first = engine.open().unwrap();
        commands.spawn(async move {
            first
                .forward(vec![1], 1, stop(entered, gate))
                .await
                .unwrap();
        });
        tokio::task::yield_now().await;
        // From here on the thread holds the first command, so the queue is empty.
        inside.recv().unwrap();
        let mut second = engine.open().unwrap();
        commands.spawn(async move {
            second.forward(vec![2], 1, copied).await.unwrap();
        });
        tokio::task::yield_now().await;
        assert_eq!(engine.load_now().queued, 1);
        Self {
            engine,
            open,
            commands,
        }
    }

    /// Lets the held pass end, and with it all commands.
    async fn end(self) {
        self.open.send(()).unwrap();
        self.commands.join_all().await;
    }
}

const FULL: EngineError = EngineError::Full {
    what: "queued commands",
    limit: 1,
};

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_after_the_wait_and_the_session_goes_on() {
    let queue = FullQueue::new().await;
    let began = tokio::time::Instant::now();
    let at_once = queue.engine.open().unwrap();
    let mut at_once = at_once.with_queue_wait(Duration::ZERO);
    let refused = at_once.forward(vec![3], 1, copied).await;
    assert_eq!(
        (refused.err(), began.elapsed()),
        (Some(FULL), Duration::ZERO)
    );
    let mut patient = queue.engine.open().unwrap();
    let refused = patient.forward(vec![3], 1, copied).await;
    assert_eq!(refused.err(), Some(FULL));
    assert!((30..31).contains(&began.elapsed().as_secs()));
    let engine = queue.engine.clone();
    queue.end().await;
    // From here on the thread empties the queue, in real time.
    tokio::time::resume();
    let mut at_once = at_once.with_queue_wait(Duration::from_secs(30));
    for session in [&mut at_once, &mut patient] {
        assert!(session.is_empty());
        assert!(same(
            &append(session, &[3]).await,
            &fresh(&engine, &[3]).await
        ));
    }
}

#[tokio::test]
async fn full_queue_is_awaited_in_order_and_no_command_is_lost() {
    let mut queue = FullQueue::new().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    for number in 0..20 {
        let mut session = queue.engine.open().unwrap();
        let order = Arc::clone(&order);
        queue.commands.spawn(async move {
            let read = move |_: Logits<'_>| order.lock().unwrap().push(number);
            session.forward(vec![number], 1, read).await.unwrap();
            assert_eq!(session.len(), 1);
        });
    }
    // Gives up while it waits: nobody behind it waits longer for that.
    let mut given_up = queue.engine.open().unwrap();
    begin(given_up.forward(vec![5], 1, copied)).await;
    assert!(given_up.is_empty());
    tokio::task::yield_now().await;
    let engine = queue.engine.clone();
    queue.end().await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<u32>>());
    assert!(same(
        &append(&mut given_up, &[3]).await,
        &fresh(&engine, &[3]).await
    ));
}

#[tokio::test]
async fn impossible_commands_are_refused_before_anything_is_computed() {
    let engine = tiny(EngineOptions {
        context: Some(20),
        max_batch_rows: 8,
        ..options()
    });
    let mut session = engine.open().unwrap();
    append(&mut session, &[1, 2, 3]).await;
    let cases = [
        (
            vec![],
            0,
            EngineError::Rows {
                tokens: 0,
                rows: 0,
                limit: 0,
            },
        ),
        (
            vec![1],
            2,
            EngineError::Rows {
                tokens: 1,
                rows: 2,
                limit: 1,
            },
        ),
        (
            vec![1; 10],
            9,
            EngineError::Rows {
                tokens: 10,
                rows: 9,
                limit: 8,
            },
        ),
        (
            vec![1, 96],
            1,
            EngineError::UnknownToken {
                token: 96,
                vocab_size: 96,
            },
        ),
        (
            vec![u32::MAX],
            1,
            EngineError::UnknownToken {
                token: u32::MAX,
                vocab_size: 96,
            },
        ),
        (
            vec![1; 18],
            1,
            EngineError::ContextFull {
                needed: 21,
                limit: 20,
            },
        ),
    ];
    for (tokens, rows, expected) in cases {
        let refused = session.forward(tokens, rows, copied).await;
        assert_eq!(refused.err(), Some(expected));
        assert_eq!(session.len(), 3);
    }
    goes_on_behind_three(&engine, &mut session).await;
}

#[tokio::test]
async fn a_session_holds_as_many_positions_as_the_limit_says() {
    let engine = tiny(EngineOptions {
        context: Some(20),
        ..options()
    });
    let mut session = engine.open().unwrap();
    append(&mut session, &[5; 20]).await;
    assert_eq!(session.len(), 20);
    assert!(session.forward(vec![5], 1, copied).await.is_err());
    session.truncate(19);
    append(&mut session, &[5]).await;
}

#[tokio::test]
async fn the_context_is_the_models_own_where_that_is_smaller() {
    let engine = tiny(EngineOptions {
        context: Some(100_000),
        ..options()
    });
    assert_eq!(engine.info().context_length, 256);
}

#[tokio::test]
async fn options_out_of_range_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = Model::of("llama").write_folder(folder.path());
    let zero = EngineOptions {
        threads: 0,
        ..options()
    };
    let absurd = EngineOptions {
        context: Some(usize::MAX),
        ..options()
    };
    for (options, name) in [(zero, "threads"), (absurd, "context")] {
        let error = Engine::load(&path, options).err().unwrap();
        assert!(
            matches!(error, LoadError::Option { field, .. } if field == name),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_command_that_is_dropped_before_its_pass_is_skipped() {
    let engine = tiny(options());
    let (mut first, mut session) = (engine.open().unwrap(), engine.open().unwrap());
    append(&mut session, &[1, 2, 3]).await;
    let (open, gate) = mpsc::channel::<()>();
    let blocker = first.forward(vec![1], 1, move |_| gate.recv().unwrap());
    let (held, ()) = tokio::join!(blocker, async {
        begin(session.forward(vec![9; 50], 1, |_| panic!("nobody waits for this"))).await;
        open.send(()).unwrap();
    });
    held.unwrap();
    assert_eq!(session.len(), 3);
    goes_on_behind_three(&engine, &mut session).await;
}

#[tokio::test]
async fn a_command_that_is_dropped_between_its_passes_leaves_no_trace() {
    let engine = tiny(EngineOptions {
        max_batch_rows: 16,
        ..options()
    });
    let [mut first, mut other, mut session] = [(); 3].map(|()| engine.open().unwrap());
    append(&mut session, &[1, 2, 3]).await;
    let ((first_entered, first_inside), (first_open, first_gate)) =
        (mpsc::channel(), mpsc::channel());
    let ((entered, inside), (open, gate)) = (mpsc::channel(), mpsc::channel());
    {
        let mut blocker = pin!(first.forward(vec![1], 1, stop(first_entered, first_gate)));
        begin(&mut blocker).await;
        first_inside.recv().unwrap();
        // Fifty tokens take many passes; the first of them also serves the other session, whose reading stops the thread.
        let mut long = Box::pin(session.forward(vec![9; 50], 1, copied));
        let mut short = pin!(other.forward(vec![1], 1, stop(entered, gate)));
        begin(&mut long).await;
        begin(&mut short).await;
        first_open.send(()).unwrap();
        inside.recv().unwrap();
        drop(long);
        open.send(()).unwrap();
        blocker.await.unwrap();
        let passed = short.await.unwrap();
        assert_eq!((passed.batch_rows, passed.batch_sessions), (5, 2));
    }
    assert_eq!(session.len(), 3);
    let rows = append(&mut session, &[4, 5]).await;
    let whole = fresh(&engine, &[1, 2, 3, 4, 5]).await;
    assert!(same(&rows, &whole[3..].to_vec()));
}

#[tokio::test]
async fn a_closed_session_frees_its_cache() {
    let engine = tiny(options());
    assert_eq!(engine.load_now().cache_bytes, 0);
    let (mut kept, mut closed) = (engine.open().unwrap(), engine.open().unwrap());
    append(&mut kept, &[1, 2]).await;
    let one = engine.load_now().cache_bytes;
    append(&mut closed, &[1, 2]).await;
    let two = engine.load_now().cache_bytes;
    assert!(one > 0 && two == 2 * one, "{one}, {two}");
    drop(closed);
    // Commands are taken in order: when this one is answered, the closed session has been seen to.
    append(&mut kept, &[3]).await;
    let idle = Load {
        sessions: 1,
        queued: 0,
        cache_bytes: one,
        positions: 3,
        max_positions: options().max_sessions * engine.info().context_length,
        prefixes: PrefixLoad::default(),
    };
    assert_eq!(engine.load_now(), idle);
}

thread_local! {
    /// Reports the end of the thread that it was put into.
    static ENDED: RefCell<Option<mpsc::Sender<()>>> = const { RefCell::new(None) };
}

#[tokio::test]
async fn the_thread_ends_with_the_last_handle_and_session() {
    for threads in [1, 2] {
        let engine = tiny(EngineOptions {
            threads,
            ..options()
        });
        let (sender, ended) = mpsc::channel();
        let mut session = engine.open().unwrap();
        let put = move |_: Logits<'_>| {
            ENDED.with(|slot| *slot.borrow_mut() = Some(sender));
        };
        session.forward(vec![1], 1, put).await.unwrap();
        let second = engine.clone();
        drop(engine);
        drop(second);
        // A session is enough to keep it.
        append(&mut session, &[2]).await;
        assert_eq!(ended.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(session);
        let end = ended.recv_timeout(Duration::from_secs(20));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

#[tokio::test]
async fn the_files_of_a_running_model_may_go() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let engine = engine(&Model::of("llama").write_folder(folder.path()), options());
    let before = fresh(&engine, &[1, 2, 3]).await;
    drop(folder);
    assert!(same(&before, &fresh(&engine, &[1, 2, 3]).await));
}
