//! A client of the HTTP port that sends exactly the bytes of a test, one connection a request.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::Process;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";

/// An answer that has been read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(header, _)| header == name)?;
        Some(value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The parameter, code and message of an error in OpenAI's shape.
    pub(crate) fn error(&self) -> (Option<String>, Option<String>, String) {
        let json = self.json();
        let error = json["error"].as_object().expect("an error");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1));
        for key in ["message", "type", "param", "code"] {
            assert!(error.contains_key(key), "{key} is missing: {json}");
        }
        let text = |key: &str| error[key].as_str().map(ToOwned::to_owned);
        (
            text("param"),
            text("code"),
            text("message").expect("a message"),
        )
    }

    /// The events of a stream, without the last, which says that it is complete.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut events = self.all_events();
        assert_eq!(events.pop().as_deref(), Some("[DONE]"));
        let parsed = events.iter().map(|event| serde_json::from_str(event));
        parsed.collect::<Result<_, _>>().expect("JSON")
    }

    pub(crate) fn all_events(&self) -> Vec<String> {
        let event = |event: &str| event.strip_prefix("data: ").expect("data").to_owned();
        self.blocks().map(event).collect()
    }

    /// Name and data of each event, if events have names.
    pub(crate) fn named_events(&self) -> Vec<(String, Value)> {
        let event = |event: &str| {
            let (name, data) = event.split_once('\n').expect("two lines");
            let name = name.strip_prefix("event: ").expect("a name").to_owned();
            let data = data.strip_prefix("data: ").expect("data");
            (name, serde_json::from_str(data).expect("JSON"))
        };
        self.blocks().map(event).collect()
    }

    /// The events as they were sent, without comments, which keep a connection alive.
    fn blocks(&self) -> impl Iterator<Item = &str> {
        let kind = self.header("content-type").expect("a type");
        let kind = kind.split(';').next();
        assert_eq!(kind, Some("text/event-stream"), "{self:?}");
        let text = std::str::from_utf8(&self.body).expect("UTF-8");
        let blocks = text.split_terminator("\n\n");
        blocks.filter(|block| !block.starts_with(':'))
    }

    /// Reads a connection until it is closed; `None` if nothing came.
    pub(crate) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // A connection may be reset after the answer.
        let _ = stream.read_to_end(&mut bytes).await;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_lowercase(), value.to_owned())
        };
        let mut answer = Self {
            status,
            headers: lines.map(header).collect(),
            body: bytes[end + 4..].to_vec(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(&answer.body);
        }
        Some(answer)
    }
}

/// Content of the chunks that have arrived.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|bytes| bytes == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let rest = &bytes[end + 2..];
        if size == 0 || rest.len() < size + 2 {
            break;
        }
        whole.extend_from_slice(&rest[..size]);
        bytes = &rest[size + 2..];
    }
    whole
}

/// A request that announces its body and has the connection closed after it.
pub(crate) fn posted(path: &str, body: &[u8]) -> Vec<u8> {
    posted_as("application/json", path, body)
}

/// The same with a body of this type.
pub(crate) fn posted_as(kind: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Process {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.http).await.expect("the HTTP port")
    }

    /// Writes these bytes, while the answer is read.
    pub(crate) async fn write(&self, bytes: &[u8]) -> Option<Answer> {
        let mut stream = self.connect().await;
        let (mut reading, mut writing) = stream.split();
        let mut read = Vec::new();
        let sending = async {
            // A server that refuses a request may close early.
            let _ = writing.write_all(bytes).await;
        };
        let receiving = async {
            let _ = reading.read_to_end(&mut read).await;
        };
        tokio::join!(sending, receiving);
        Answer::parse(&read)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        self.write(request.as_bytes()).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let bytes = body.to_string().into_bytes();
        let answer = self.write(&posted(path, &bytes)).await;
        answer.expect("an answer")
    }
}
