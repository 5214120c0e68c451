//! Headers of GGUF files: typed metadata and the list of tensors, without the tensors' data.
//!
//! The parser is ours because a header is read before anything else is known of a file. It believes no number: every count,
//! length and depth has a limit that no honest file comes near, and memory is set aside only for bytes that are there.

use std::collections::HashMap;

/// Most entries of metadata, and most tensors, of a file.
const MAX_ENTRIES: u64 = 1 << 16;
/// Most elements of all arrays together: vocabularies, scores, types and merges.
const MAX_ELEMENTS: u64 = 1 << 23;
/// Longest key or tensor name, in bytes, as the format has it.
const MAX_NAME: u64 = u16::MAX as u64;
/// Longest text, in bytes; chat templates are the longest.
const MAX_TEXT: u64 = 1 << 24;
const MAX_DIMENSIONS: u32 = 4;
/// Deepest nesting of arrays.
const MAX_DEPTH: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_ALIGNMENT: u64 = 1 << 16;

/// Number of the value type that alignments have.
const U32: u32 = 4;
/// Key of the alignment of tensors.
const ALIGNMENT: &str = "general.alignment";

/// Values by key.
pub type Metadata = HashMap<String, Value>;

/// A value of the metadata. Numbers of all widths share a variant.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An unsigned integer of 8 to 64 bits.
    Unsigned(u64),
    /// A signed integer of 8 to 64 bits.
    Signed(i64),
    /// A float of 32 or 64 bits.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text; bytes that are not UTF-8 are replaced.
    Text(String),
    /// Elements of one type.
    Array(Vec<Value>),
}

impl Value {
    /// Integer of either sign.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(i128::from(*number)),
            Self::Signed(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// Float, not an integer.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// True or false.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Elements of an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

/// Place and shape of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Dimensions, outermost first; their product is below 2^48 and not 0.
    pub shape: Vec<usize>,
    /// Number of the format, as ggml counts them.
    pub format: u32,
    /// Offset from [`Header::data_offset`], in bytes; a multiple of the file's alignment.
    pub offset: u64,
}

/// A parsed header.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Metadata by key; the last of equal keys counts.
    pub metadata: Metadata,
    /// Tensors in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// Offset of the tensors' data from the start of the file, in bytes.
    pub data_offset: u64,
}

/// A header that ends early, contradicts itself or exceeds a limit. The message is a clause about "it", the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GgufError(String);

fn damaged<T>(reason: impl Into<String>) -> Result<T, GgufError> {
    Err(GgufError(reason.into()))
}

impl Header {
    /// Parses the header at the beginning of `file`; the bytes after it are not read.
    pub fn parse(file: &[u8]) -> Result<Self, GgufError> {
        if file.is_empty() {
            return damaged("it is empty");
        }
        if !file.starts_with(b"GGUF") {
            return damaged("it does not begin with the letters GGUF");
        }
        let mut reader = Reader {
            rest: &file[4..],
            narrow: false,
            elements: 0,
            alignment: DEFAULT_ALIGNMENT,
        };
        let version = reader.u32("its version")?;
        if !(1..=3).contains(&version) {
            return damaged(format!(
                "it has version {version} of the format; known are 1 to 3"
            ));
        }
        reader.narrow = version == 1;
        let tensor_count = reader.length("its count of weights")?;
        let entries = reader.length("its count of metadata")?;
        for (count, what) in [(tensor_count, "weights"), (entries, "entries of metadata")] {
            if count > MAX_ENTRIES {
                return damaged(format!("it claims to have {count} {what}"));
            }
        }
        let mut metadata = Metadata::new();
        for _ in 0..entries {
            let (key, value) = reader.entry()?;
            metadata.insert(key, value);
        }
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(reader.tensor()?);
        }
        let end = (file.len() - reader.rest.len()) as u64;
        Ok(Self {
            metadata,
            tensors,
            data_offset: end.next_multiple_of(reader.alignment),
        })
    }
}

/// The part of a header that is not parsed yet, and what the parsed part decides about it.
struct Reader<'a> {
    rest: &'a [u8],
    /// Lengths have 32 bits, as in version 1.
    narrow: bool,
    /// Elements of all arrays so far.
    elements: u64,
    alignment: u64,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], GgufError> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = split else {
            return damaged(format!("it ends inside {what}; it is truncated"));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, what)?);
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn length(&mut self, what: &str) -> Result<u64, GgufError> {
        if self.narrow {
            self.u32(what).map(u64::from)
        } else {
            self.u64(what)
        }
    }

    fn text(&mut self, limit: u64, what: &str) -> Result<String, GgufError> {
        let length = self.length(what)?;
        if length > limit {
            return damaged(format!("{what} claims to have {length} bytes"));
        }
        let mut bytes = self.take(length, what)?;
        // The format has no terminators, but some converters write them.
        while let [before @ .., 0] = bytes {
            bytes = before;
        }
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn entry(&mut self) -> Result<(String, Value), GgufError> {
        let key = self.text(MAX_NAME, "a key of its metadata")?;
        let kind = self.u32(&key)?;
        let value = self.value(kind, &key, 0)?;
        if key == ALIGNMENT {
            let (U32, Value::Unsigned(alignment)) = (kind, &value) else {
                return damaged("its alignment is not a 32-bit number");
            };
            self.alignment = *alignment;
            if self.alignment == 0
                || !self.alignment.is_multiple_of(8)
                || self.alignment > MAX_ALIGNMENT
            {
                return damaged(format!("its alignment is {}", self.alignment));
            }
        }
        Ok((key, value))
    }

    /// A value of the type that the format numbers `kind`, at this depth of arrays.
    fn value(&mut self, kind: u32, key: &str, depth: u32) -> Result<Value, GgufError> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.array(key)?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array(key)?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array(key)?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array(key)?).into()),
            U32 => Value::Unsigned(self.u32(key)?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array(key)?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array(key)?).into()),
            7 => match self.array(key)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return damaged(format!("\"{key}\" is neither true nor false")),
            },
            8 => Value::Text(self.text(MAX_TEXT, key)?),
            9 if depth < MAX_DEPTH => self.elements(key, depth)?,
            10 => Value::Unsigned(self.u64(key)?),
            11 => Value::Signed(i64::from_le_bytes(self.array(key)?)),
            12 => Value::Float(f64::from_le_bytes(self.array(key)?)),
            _ => return damaged(format!("\"{key}\" has a value of unknown type {kind}")),
        })
    }

    fn elements(&mut self, key: &str, depth: u32) -> Result<Value, GgufError> {
        let kind = self.u32(key)?;
        let count = self.length(key)?;
        self.elements = self.elements.saturating_add(count);
        if self.elements > MAX_ELEMENTS {
            return damaged(format!("\"{key}\" claims to have {count} elements"));
        }
        // Each element takes a byte at least.
        let mut values = Vec::with_capacity(self.rest.len().min(count as usize));
        for _ in 0..count {
            values.push(self.value(kind, key, depth + 1)?);
        }
        Ok(Value::Array(values))
    }

    fn tensor(&mut self) -> Result<TensorInfo, GgufError> {
        let name = self.text(MAX_NAME, "the name of a weight")?;
        let dimensions = self.u32(&name)?;
        if dimensions > MAX_DIMENSIONS {
            return damaged(format!("the weight \"{name}\" has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        let mut elements = Some(1u64);
        for _ in 0..dimensions {
            let dimension = self.length(&name)?;
            shape.push(dimension as usize);
            elements = elements
                .and_then(|elements| elements.checked_mul(dimension))
                .filter(|elements| (1..1 << 48).contains(elements));
        }
        if elements.is_none() {
            return damaged(format!("the weight \"{name}\" has an absurd shape"));
        }
        // The file has the innermost dimension first.
        shape.reverse();
        let format = self.u32(&name)?;
        let offset = self.u64(&name)?;
        if !offset.is_multiple_of(self.alignment) {
            return damaged(format!(
                "the weight \"{name}\" is at {offset}, which is no multiple of {}",
                self.alignment
            ));
        }
        Ok(TensorInfo {
            name,
            shape,
            format,
            offset,
        })
    }
}

#[cfg(test)]
mod tests;
