//! The version of HTTP that a connection speaks, read from its first bytes.
//!
//! `hyper-util` does this too, but waits for those bytes for ever and cannot limit the headers of HTTP/1.1.

use std::{
    io::{self, Cursor},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join},
    net::TcpStream,
    time::timeout,
};

/// First bytes of a client that knows that the port speaks HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Version of HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    One,
    Two,
}

/// Reads as far as the version is plain, within `patience`. The stream that comes back begins with what was read.
pub(super) async fn read(
    stream: TcpStream,
    patience: Duration,
) -> io::Result<(Version, impl AsyncRead + AsyncWrite + Send)> {
    let (mut reader, writer) = stream.into_split();
    let reading = timeout(patience, begin(&mut reader));
    let (version, begun) = reading.await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok((version, join(Cursor::new(begun).chain(reader), writer)))
}

async fn begin(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<(Version, Vec<u8>)> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() {
        let left = (PREFACE.len() - begun.len()) as u64;
        let is_end = reader.take(left).read_buf(&mut begun).await? == 0;
        if is_end || !PREFACE.starts_with(&begun) {
            return Ok((Version::One, begun));
        }
    }
    Ok((Version::Two, begun))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn version_is_plain_however_the_bytes_arrive() {
        let http2 = [PREFACE, b"\0\0\0\x04"].concat();
        for (sent, expected) in [
            (&http2[..], Version::Two),
            (PREFACE, Version::Two),
            (b"PRI * HTTP/2.0\r\n\r\n", Version::One),
            (b"PRINT / HTTP/1.1\r\n", Version::One),
            (b"GET / HTTP/1.1\r\n\r\n", Version::One),
            (b"", Version::One),
        ] {
            for at_once in [1, 3, 64] {
                let (mut near, mut far) = duplex(at_once);
                let sending = async move { drop(far.write_all(sent).await) };
                let ((), begun) = tokio::join!(sending, async move { begin(&mut near).await });
                let (version, begun) = begun.unwrap();
                assert_eq!(version, expected, "{sent:?}");
                assert!(sent.starts_with(&begun), "{begun:?} of {sent:?}");
            }
        }
    }
}
