//! Reading of a request's body: JSON in UTF-8, maybe compressed, of bounded size, within bounded time, out of a budget that all
//! requests share.

mod arrival;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
    },
};
use proto::limits::MAX_PROMPT_BYTES;
use serde_json::{Map, Value};
use tokio::{sync::Semaphore, time::timeout};
use tokio_stream::StreamExt as _;

use self::arrival::{Arrival, too_large};
use super::error::{ApiError, shown};

/// Most bytes of a body: a prompt and a prediction of full length, twice for JSON's escapes.
pub(super) const MAX_BODY_BYTES: usize = 4 * MAX_PROMPT_BYTES;
/// Most bytes of all bodies that are being read.
const MAX_BYTES_AT_ONCE: usize = 32 * MAX_BODY_BYTES;
/// Longest time for a body to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest time and most bytes for which a refused body is read and dropped, so that its sender comes to read the refusal.
const DISCARD_PATIENCE: Duration = Duration::from_secs(2);
const MAX_DISCARDED_BYTES: usize = 16 * MAX_BODY_BYTES;
/// `retry-after` when the budget is spent.
const RETRY: Duration = Duration::from_secs(1);

/// Memory for bodies that are being read.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(MAX_BYTES_AT_ONCE)),
        }
    }
}

impl Budget {
    /// Reads the parameters in a body.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Map<String, Value>, ApiError> {
        let is_gzip = check_headers(headers)?;
        let mut arrived = Arrival::new(&self.bytes, is_gzip);
        let mut frames = body.into_data_stream();
        if announced(headers).is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
            // A client that waits for leave to send has sent nothing to discard.
            if !headers.contains_key(EXPECT) {
                discard(&mut frames).await;
            }
            return Err(too_large());
        }
        let reading = async {
            while let Some(frame) = frames.next().await {
                let frame = frame.map_err(|error| {
                    let message = format!("the body cannot be read: {error}");
                    ApiError::unreadable(StatusCode::BAD_REQUEST, message)
                })?;
                arrived.take(&frame)?;
            }
            Ok(())
        };
        let read = timeout(PATIENCE, reading).await.unwrap_or_else(|_| {
            let message = format!("the body has not arrived within {PATIENCE:?}");
            Err(ApiError::unreadable(StatusCode::REQUEST_TIMEOUT, message))
        });
        if let Err(error) = read {
            // Closing a connection before its data is read resets it, and the client may not see the error.
            if error.leaves_body_unread() {
                drop(arrived);
                discard(&mut frames).await;
            }
            return Err(error);
        }
        parse(&arrived.finish()?.bytes)
    }
}

/// Reads the remainder of a refused body, within limits.
async fn discard(frames: &mut BodyDataStream) {
    let mut left = MAX_DISCARDED_BYTES;
    let discarding = async {
        while let Some(Ok(frame)) = frames.next().await
            && frame.len() <= left
        {
            left -= frame.len();
        }
    };
    let _ = timeout(DISCARD_PATIENCE, discarding).await;
}

/// True if the body is compressed. Refuses anything but JSON, plain or in gzip: browsers let any page send other types to a
/// server on its reader's machine.
fn check_headers(headers: &HeaderMap) -> Result<bool, ApiError> {
    let named = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    let unsupported = |message| ApiError::unreadable(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    let kind = named(CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!(
            "content-type is {}: it must be application/json",
            shown(&kind)
        );
        return Err(unsupported(message));
    }
    let encoding = named(CONTENT_ENCODING).unwrap_or("identity".into());
    match encoding.trim().to_lowercase().as_str() {
        "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => {
            let message = format!(
                "content-encoding is {}: it must be gzip, or left out",
                shown(&encoding)
            );
            Err(unsupported(message))
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let refused = |message| ApiError::unreadable(StatusCode::BAD_REQUEST, message);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| refused(format!("the body is not UTF-8: {error}")))?;
    // Depth is limited by the parser.
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(refused("the body must be a JSON object".to_owned())),
        Err(error) => Err(refused(format!("the body is not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use tokio::time::Instant;

    use super::*;

    fn json() -> HeaderMap {
        let kind = "application/json; charset=utf-8".parse().unwrap();
        [(CONTENT_TYPE, kind)].into_iter().collect()
    }

    fn compressed() -> HeaderMap {
        let mut headers = json();
        headers.insert(CONTENT_ENCODING, "GZip".parse().unwrap());
        headers
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn status(budget: &Budget, headers: &HeaderMap, body: Vec<u8>) -> String {
        let error = budget.read(headers, Body::from(body)).await.unwrap_err();
        assert_eq!(budget.bytes.available_permits(), MAX_BYTES_AT_ONCE);
        error.to_string()
    }

    #[tokio::test]
    async fn compressed_body_is_read_in_one_member_or_several() {
        let (budget, text) = (Budget::default(), b"{\"a\": [1, 2]}");
        let (one, two) = text.split_at(4);
        for body in [gzip(text), [gzip(one), gzip(two)].concat()] {
            for at_once in [1, 7, body.len()] {
                let frames: Vec<_> = body.chunks(at_once).map(<[u8]>::to_vec).collect();
                let frames = tokio_stream::iter(frames).map(Ok::<_, std::io::Error>);
                let fields = budget.read(&compressed(), Body::from_stream(frames)).await;
                assert_eq!(fields.unwrap()["a"], serde_json::json!([1, 2]));
            }
        }
        assert_eq!(budget.bytes.available_permits(), MAX_BYTES_AT_ONCE);
    }

    #[tokio::test]
    async fn compressed_body_is_held_to_the_limit_of_what_it_becomes() {
        let (budget, headers) = (Budget::default(), compressed());
        let bomb = gzip(&vec![b' '; 64 * MAX_BODY_BYTES]);
        assert!(bomb.len() < MAX_BODY_BYTES / 8);
        let large = status(&budget, &headers, bomb).await;
        assert!(large.starts_with("413"), "{large}");
        // Members without content are bounded by what was sent.
        let empty = gzip(b"").repeat(MAX_BODY_BYTES / gzip(b"").len() + 1);
        let large = status(&budget, &headers, empty).await;
        assert!(large.starts_with("413"), "{large}");
    }

    #[tokio::test]
    async fn body_that_is_not_what_its_encoding_says_is_refused() {
        let (budget, whole) = (Budget::default(), gzip(b"{\"a\": 1}"));
        let mut wrong = whole.clone();
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        for body in [
            b"{\"a\": 1}".to_vec(),
            whole[..whole.len() - 1].to_vec(),
            whole[..5].to_vec(),
            wrong,
            [&whole[..], b"{}"].concat(),
        ] {
            let error = status(&budget, &compressed(), body).await;
            assert!(
                error.starts_with("400: content-encoding is gzip"),
                "{error}"
            );
        }
        let mut headers = json();
        for encoding in ["br", "deflate", "gzip, gzip", "zstd"] {
            headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
            let error = status(&budget, &headers, whole.clone()).await;
            assert!(error.starts_with("415"), "{error}");
        }
    }

    #[tokio::test]
    async fn budget_is_given_back_for_good_and_bad_bodies_alike() {
        let budget = Budget::default();
        let deep = "[".repeat(100_000);
        for body in ["{\"a\": 1}", "{", "\u{0}", "[]", deep.as_str(), ""] {
            let read = budget.read(&json(), Body::from(body.to_owned())).await;
            assert_eq!(read.is_ok(), body == "{\"a\": 1}");
        }
        let large = Body::from(vec![b' '; MAX_BODY_BYTES + 1]);
        assert!(
            budget
                .read(&json(), large)
                .await
                .unwrap_err()
                .leaves_body_unread()
        );
        assert_eq!(budget.bytes.available_permits(), MAX_BYTES_AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_never_comes_is_given_up_in_time() {
        let body = Body::from_stream(tokio_stream::pending::<Result<&[u8], std::io::Error>>());
        let began = Instant::now();
        let error = Budget::default().read(&json(), body).await.unwrap_err();
        assert!(error.to_string().starts_with("408"), "{error}");
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn remainder_of_a_refused_body_is_not_waited_for_longer_than_its_time() {
        let too_large = vec![b' '; MAX_BODY_BYTES + 1];
        let frames = tokio_stream::once(Ok::<_, std::io::Error>(too_large));
        let body = Body::from_stream(frames.chain(tokio_stream::pending()));
        let began = Instant::now();
        let error = Budget::default().read(&json(), body).await.unwrap_err();
        assert!(error.to_string().starts_with("413"), "{error}");
        assert_eq!(began.elapsed(), DISCARD_PATIENCE);
    }
}
