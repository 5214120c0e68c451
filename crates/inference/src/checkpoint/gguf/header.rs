//! Checks a GGUF header before candle reads it.
//!
//! candle's reader believes some of what a damaged header says: an alignment of 0 makes it divide by zero, and an array of
//! one-byte numbers may be as long as the file and takes 32 times that in memory. So the header is walked once here, without
//! allocating, against limits that no honest file comes near.

use crate::checkpoint::{CheckpointError, Mapping};

/// Entries of metadata, and tensors, that a file may have.
const MAX_ENTRIES: u64 = 1 << 16;
/// Elements of all arrays together: vocabularies, scores, types and merges.
const MAX_ELEMENTS: u64 = 1 << 23;
/// Bytes of a key or a tensor's name, as the format has it.
const MAX_NAME: u64 = u16::MAX as u64;
/// Bytes of a value that is text; chat templates are the longest.
const MAX_TEXT: u64 = 1 << 24;
const MAX_DIMENSIONS: u32 = 4;
/// Arrays in arrays.
const MAX_DEPTH: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;

/// Formats that candle reads, by ggml's numbers.
const FORMATS: [u32; 15] = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 30];

/// Numbers of value types.
const BOOL: u32 = 7;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// Refuses a header that ends early, contradicts itself or goes beyond all measure.
pub(super) fn check(mapping: &Mapping) -> Result<(), CheckpointError> {
    walk(mapping).map_err(|flaw| match flaw {
        Flaw::Damaged(reason) => CheckpointError::Corrupt {
            path: mapping.path().to_owned(),
            reason,
        },
        Flaw::Format { name, number } => CheckpointError::Weight {
            name,
            reason: format!(
                "has ggml's format number {number}, which is not supported; take a file in Q4_K_M, Q8_0 or F16 instead"
            ),
        },
    })
}

#[derive(Debug)]
enum Flaw {
    Damaged(String),
    Format { name: String, number: u32 },
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Damaged(reason.into()))
}

fn walk(bytes: &[u8]) -> Result<(), Flaw> {
    if bytes.is_empty() {
        return damaged("it is empty");
    }
    if !bytes.starts_with(b"GGUF") {
        return damaged("it does not begin with the letters GGUF");
    }
    let mut header = Header {
        rest: &bytes[4..],
        narrow: false,
        elements: 0,
        alignment: DEFAULT_ALIGNMENT,
    };
    let version = header.number("its version")?;
    if !(1..=3).contains(&version) {
        return damaged(format!(
            "it has version {version} of the format; known are 1 to 3"
        ));
    }
    header.narrow = version == 1;
    let tensors = header.length("its count of weights")?;
    let entries = header.length("its count of metadata")?;
    for (count, what) in [(tensors, "weights"), (entries, "entries of metadata")] {
        if count > MAX_ENTRIES {
            return damaged(format!("it claims to have {count} {what}"));
        }
    }
    for _ in 0..entries {
        header.entry()?;
    }
    for _ in 0..tensors {
        header.tensor()?;
    }
    Ok(())
}

/// What is left of a header, and what it has said so far.
struct Header<'a> {
    rest: &'a [u8],
    /// Lengths have 32 bits, as in version 1.
    narrow: bool,
    elements: u64,
    alignment: u64,
}

impl<'a> Header<'a> {
    fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], Flaw> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = split else {
            return damaged(format!("it ends inside {what}; it is truncated"));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, what: &str) -> Result<u32, Flaw> {
        let bytes = self.take(4, what)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u32::from(*byte)))
    }

    fn long(&mut self, what: &str) -> Result<u64, Flaw> {
        let bytes = self.take(8, what)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn length(&mut self, what: &str) -> Result<u64, Flaw> {
        if self.narrow {
            self.number(what).map(u64::from)
        } else {
            self.long(what)
        }
    }

    fn text(&mut self, limit: u64, what: &str) -> Result<&'a [u8], Flaw> {
        let length = self.length(what)?;
        if length > limit {
            return damaged(format!("{what} claims to have {length} bytes"));
        }
        self.take(length, what)
    }

    fn entry(&mut self) -> Result<(), Flaw> {
        let key = self.text(MAX_NAME, "a key of its metadata")?;
        let key = String::from_utf8_lossy(key);
        let kind = self.number(&key)?;
        let value = self.rest;
        self.value(kind, &key, 0)?;
        if key == "general.alignment" {
            let (4, [a, b, c, d, ..]) = (kind, value) else {
                return damaged("its alignment is not a 32-bit number");
            };
            self.alignment = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            if self.alignment == 0
                || !self.alignment.is_multiple_of(8)
                || self.alignment > MAX_ALIGNMENT
            {
                return damaged(format!("its alignment is {}", self.alignment));
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: u32, key: &str, depth: u32) -> Result<(), Flaw> {
        if let Some(size) = size(kind) {
            let bytes = self.take(size, key)?;
            if kind == BOOL && bytes[0] > 1 {
                return damaged(format!("\"{key}\" is neither true nor false"));
            }
            return Ok(());
        }
        match kind {
            TEXT => self.text(MAX_TEXT, key).map(|_| ()),
            ARRAY if depth < MAX_DEPTH => {
                let kind = self.number(key)?;
                let count = self.length(key)?;
                self.elements = self.elements.saturating_add(count);
                if self.elements > MAX_ELEMENTS {
                    return damaged(format!("\"{key}\" claims to have {count} elements"));
                }
                match size(kind).filter(|_| kind != BOOL) {
                    Some(size) => self.take(size * count, key).map(|_| ()),
                    None => (0..count).try_for_each(|_| self.value(kind, key, depth + 1)),
                }
            }
            _ => damaged(format!("\"{key}\" has a value of unknown type {kind}")),
        }
    }

    fn tensor(&mut self) -> Result<(), Flaw> {
        let name = self.text(MAX_NAME, "the name of a weight")?;
        let name = String::from_utf8_lossy(name).into_owned();
        let dimensions = self.number(&name)?;
        if dimensions > MAX_DIMENSIONS {
            return damaged(format!("the weight \"{name}\" has {dimensions} dimensions"));
        }
        let mut elements = Some(1u64);
        for _ in 0..dimensions {
            let dimension = self.length(&name)?;
            elements = elements
                .and_then(|elements| elements.checked_mul(dimension))
                .filter(|elements| (1..1 << 48).contains(elements));
        }
        if elements.is_none() {
            return damaged(format!("the weight \"{name}\" has an absurd shape"));
        }
        let number = self.number(&name)?;
        if !FORMATS.contains(&number) {
            return Err(Flaw::Format { name, number });
        }
        let offset = self.long(&name)?;
        if !offset.is_multiple_of(self.alignment) {
            return damaged(format!(
                "the weight \"{name}\" is at {offset}, which is no multiple of {}",
                self.alignment
            ));
        }
        Ok(())
    }
}

/// Bytes of a value that has always the same number of them.
fn size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
