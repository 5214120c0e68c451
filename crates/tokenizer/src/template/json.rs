//! JSON as Python writes it, which is how models have seen it: a space after each colon and comma.

use std::io;

use serde::Serialize;
use serde_json::{
    Serializer,
    ser::{Formatter, PrettyFormatter},
};

/// JSON on one line.
pub(super) fn python_json(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, Spaced));
    finished(&written, text)
}

/// JSON with one value a line, each level indented by this number of spaces.
pub(super) fn indented_json(value: &impl Serialize, spaces: usize) -> String {
    let mut text = Vec::new();
    let indent = " ".repeat(spaces);
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, formatter));
    finished(&written, text)
}

fn finished(written: &serde_json::Result<()>, text: Vec<u8>) -> String {
    // Values in memory whose keys are texts have JSON.
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8(text).unwrap_or_default()
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
