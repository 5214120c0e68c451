//! The hub: a stand-in on the loopback that answers as the real one does, one that refuses and one that is silent.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

const FILE: &str = "hf:owner/repository/folder/tiny.gguf";
const SOURCE: &str = "hub = \"owner/repository/folder/tiny.gguf\"";

/// Serves one file to whoever asks for it until the test ends; counts downloads.
struct Server {
    endpoint: String,
    downloads: Arc<AtomicU32>,
}

impl Server {
    fn start(contents: &'static [u8], tag: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let downloads = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&downloads);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), contents, &tag, &counter);
            }
        });
        Self {
            endpoint,
            downloads,
        }
    }
}

/// One request, one response, and the connection is closed.
fn answer(mut stream: TcpStream, contents: &[u8], tag: &str, downloads: &AtomicU32) {
    let request: Vec<String> = BufReader::new(&stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let path = "/owner/repository/resolve/main/folder/tiny.gguf ";
    if !request[0].contains(path) {
        let refusal = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(refusal.as_bytes()).unwrap();
        return;
    }
    let range = request
        .iter()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("range: bytes=")
                .map(ToOwned::to_owned)
        })
        .unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to = if to.is_empty() {
        downloads.fetch_add(1, Ordering::SeqCst);
        contents.len()
    } else {
        to.parse::<usize>().unwrap() + 1
    };
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{}\r\n\
         etag: \"{tag}\"\r\nx-repo-commit: 0123456789\r\nconnection: close\r\n\r\n",
        to - from,
        to - 1,
        contents.len(),
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&contents[from..to]).unwrap();
}

fn known(bench: &Bench, contents: &[u8], endpoint: String) -> Store {
    let mut store = bench.store(contents, &[SOURCE.to_owned()]);
    store.cache.hub.endpoint = Some(endpoint);
    store
}

#[test]
fn known_model_comes_from_the_hub() {
    let bench = Bench::new();
    let server = Server::start(b"right bytes", digest(b"right bytes"));
    let store = known(&bench, b"right bytes", server.endpoint);
    let mut heard = Heard::default();
    let path = store.resolve(&tiny(), &mut heard).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"right bytes");
    assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(heard.finished, 1);
    assert!(heard.passed_over.is_empty());
}

#[test]
fn other_file_on_the_hub_is_known_before_it_is_downloaded() {
    let bench = Bench::new();
    let server = Server::start(b"wrong bytes", digest(b"wrong bytes"));
    let store = known(&bench, b"right bytes", server.endpoint);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(
        error.to_string().contains(&digest(b"wrong bytes")),
        "{error}"
    );
    assert_eq!(server.downloads.load(Ordering::SeqCst), 0);
}

#[test]
fn hub_that_lies_about_the_hash_is_passed_over() {
    let bench = Bench::new();
    let server = Server::start(b"wrong bytes", digest(b"right bytes"));
    let store = known(&bench, b"right bytes", server.endpoint);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(
        error.to_string().contains(&digest(b"wrong bytes")),
        "{error}"
    );
    assert!(store.path("tiny").is_err());
}

#[test]
fn reference_to_the_hub_is_fetched_once() {
    let bench = Bench::new();
    let server = Server::start(b"some bytes", digest(b"some bytes"));
    let store = known(&bench, b"other", server.endpoint.clone());
    let reference = FILE.parse().unwrap();
    let path = store.resolve(&reference, &mut Heard::default()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"some bytes");
    assert_eq!(
        store.resolve(&reference, &mut Heard::default()).unwrap(),
        path
    );
    assert_eq!(server.downloads.load(Ordering::SeqCst), 1);
}

#[test]
fn reference_to_the_hub_with_the_wrong_hash_is_not_kept() {
    let bench = Bench::new();
    let server = Server::start(b"some bytes", digest(b"promised bytes"));
    let store = known(&bench, b"other", server.endpoint);
    for _ in 0..2 {
        let error = store.resolve(&FILE.parse().unwrap(), &mut Heard::default());
        let text = error.unwrap_err().to_string();
        assert!(text.contains("the hub promised"), "{text}");
    }
}

#[test]
fn missing_file_on_the_hub_says_so() {
    let bench = Bench::new();
    let server = Server::start(b"", String::new());
    let store = known(&bench, b"other", server.endpoint);
    let reference = "hf:owner/repository/absent.gguf".parse().unwrap();
    let error = store
        .resolve(&reference, &mut Heard::default())
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("404") && text.contains("absent.gguf"),
        "{text}"
    );
}

#[test]
fn unreachable_hub_is_passed_over_at_once() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let begun = Instant::now();
    let error = known(&bench, b"x", endpoint).resolve(&tiny(), &mut Heard::default());
    let text = error.unwrap_err().to_string();
    assert!(text.contains("the hub cannot be reached"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn silent_hub_is_passed_over_in_time() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut store = known(
        &bench,
        b"x",
        format!("http://{}", listener.local_addr().unwrap()),
    );
    store.cache.hub.answer = Duration::from_millis(50);
    let error = store.resolve(&tiny(), &mut Heard::default()).unwrap_err();
    assert!(
        error.to_string().contains("no answer within 50ms"),
        "{error}"
    );
}
