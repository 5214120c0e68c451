//! `duet chat` as a script has it: lines in, answers out, notes on standard error. Greedy answers are known from asking directly.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use proto::{
    model::{Message, Prompt, Role},
    verifier::Generate,
};

use crate::{pair, process, prompts};

const TOKENS: u32 = 12;
const FIRST: &str = "Name three colours.";
const SECOND: &str = "Say it again.";

/// Runs `duet chat` with this on its standard input.
fn chat(server: [&str; 2], input: &str) -> Output {
    let mut child = begin(server, TOKENS);
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that has found an error may have ended without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("duet ends")
}

/// A chat that waits for more.
fn begin(server: [&str; 2], tokens: u32) -> Child {
    let child = process::command("duet")
        .arg("chat")
        .args(server)
        .args(["--max-tokens", &tokens.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.expect("duet starts")
}

/// Presses Ctrl-C.
fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// The answer to the last of these turns, which begin with the user's.
async fn answer(verifier: &str, turns: &[&str]) -> String {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let message = |(role, content): (Role, &&str)| Message::new(role, *content);
    let prompt = Prompt::chat(roles.zip(turns).map(message).collect());
    let request = Generate {
        prompt,
        ..prompts::greedy("", TOKENS)
    };
    pair::ask(verifier, request).await.text
}

/// Answers as the chat prints them, each with its last line ended.
fn printed(answers: &[&str]) -> String {
    let line = |answer: &&str| format!("{}\n", answer.strip_suffix('\n').unwrap_or(answer));
    answers.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_turn_is_answered_with_those_before_in_mind_until_they_are_forgotten() {
    let pair = pair::shared().read().await;
    let url = pair.verifier.url();
    let first = answer(&url, &[FIRST]).await;
    let second = answer(&url, &[FIRST, &first, SECOND]).await;
    let alone = answer(&url, &[SECOND]).await;
    assert_ne!(second, alone, "the test needs turns that matter");

    let input = format!(
        "{FIRST}\n\n{SECOND}\n/reset\n{SECOND}\n/speculation off\n/reset\n{SECOND}\n/stats\n/quit\n{FIRST}\n"
    );
    let output = tokio::task::spawn_blocking(move || chat(["--verifier", &url], &input));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, printed(&[&first, &second, &alone, &alone]));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("Drafters may not help."), "{notes}");
    assert!(notes.contains("4 answers"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_over_http_gives_the_same_answers() {
    let verifier = pair::verifier(&["--http", "127.0.0.1:0"]);
    let address = verifier.wait_for("serving HTTP", 1);
    let api = format!("http://{}/v1", address["address"].as_str().unwrap());
    let first = answer(&verifier.url(), &[FIRST]).await;
    let second = answer(&verifier.url(), &[FIRST, &first, SECOND]).await;
    let input = format!("{FIRST}\n{SECOND}\n/stats");
    let output = tokio::task::spawn_blocking(move || chat(["--api", &api], &input));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, printed(&[&first, &second]));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("2 answers"), "{notes}");
}

#[test]
fn wrong_command_is_told_and_a_server_that_is_not_there_is_named() {
    let pair = pair::shared().blocking_read();
    let output = chat(
        ["--verifier", &pair.verifier.url()],
        "/stat\n/speculation\n",
    );
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("/stat is no command"), "{notes}");
    assert!(notes.contains("needs on or off"), "{notes}");

    // Nobody listens on port 1 of the loopback interface.
    for server in [
        ["--verifier", "http://127.0.0.1:1"],
        ["--api", "http://127.0.0.1:1/v1"],
    ] {
        let output = chat(server, "Hello\n");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("cannot be reached"), "{error}");
    }
}

#[test]
fn interrupt_stops_the_answer_and_the_chat_goes_on() {
    let pair = pair::shared().blocking_read();
    let mut child = begin(["--verifier", &pair.verifier.url()], 2000);
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"Count from one to a thousand in words.\n")
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    interrupt(&child);
    // Read only once the answer has been stopped.
    stdin.write_all(b"/stats\n/quit\n").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(notes, "(stopped)\nNothing has been answered yet.\n");
}

/// A server of OpenAI's API that names its model and says nothing more.
struct Silent {
    url: String,
    /// Told when an answer is asked for.
    asked: mpsc::Receiver<()>,
    /// Ends when whoever asked is gone, or has not gone for too long.
    gone: JoinHandle<io::Result<u64>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (ask, asked) = mpsc::channel();
        let gone = thread::spawn(move || {
            let mut models = accept(&listener)?;
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 26\r\n\r\n";
            write!(models, "{head}{{\"data\":[{{\"id\":\"silent\"}}]}}")?;
            drop(models);
            let mut chat = accept(&listener)?;
            // A test that no longer listens has failed already.
            let _ = ask.send(());
            chat.set_read_timeout(Some(process::PATIENCE))?;
            io::copy(&mut chat, &mut io::sink())
        });
        Self {
            url: format!("http://{address}/v1"),
            asked,
            gone,
        }
    }
}

/// The next connection, on which a request has come, but for its body.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    let mut lines = BufReader::new(&stream).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    drop(lines);
    Ok(stream)
}

#[test]
fn chat_that_is_left_does_not_wait_for_a_server_that_says_nothing() {
    let server = Silent::start();
    let mut child = begin(["--api", &server.url], TOKENS);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Hello\n").unwrap();
    server.asked.recv_timeout(process::PATIENCE).unwrap();
    interrupt(&child);
    stdin.write_all(b"/quit\n").unwrap();
    let gone = server.gone.join().unwrap();
    if gone.is_err() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(gone.is_ok(), "{gone:?}: it has not ended: {output:?}");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "(stopped)\n");
}
