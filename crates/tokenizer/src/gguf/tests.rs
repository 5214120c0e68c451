//! Headers written out byte by byte.

use super::*;

/// Bytes of a header under construction.
struct Writer {
    bytes: Vec<u8>,
    narrow: bool,
}

impl Writer {
    fn new(version: u32, tensors: u64, entries: u64) -> Self {
        let mut writer = Self {
            bytes: b"GGUF".to_vec(),
            narrow: version == 1,
        };
        writer.put(&version.to_le_bytes());
        writer.length(tensors);
        writer.length(entries);
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn length(&mut self, length: u64) {
        let width = if self.narrow { 4 } else { 8 };
        self.put(&length.to_le_bytes()[..width]);
    }

    fn text(&mut self, text: &[u8]) {
        self.length(text.len() as u64);
        self.put(text);
    }

    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.text(key.as_bytes());
        self.put(&kind.to_le_bytes());
        self.put(value);
    }

    fn tensor(&mut self, name: &str, dimensions: &[u64], offset: u64) {
        self.text(name.as_bytes());
        self.put(&(dimensions.len() as u32).to_le_bytes());
        for dimension in dimensions {
            self.length(*dimension);
        }
        self.put(&12u32.to_le_bytes());
        self.put(&offset.to_le_bytes());
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], expected: &str) {
    let message = Header::parse(bytes).unwrap_err().to_string();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn values_of_every_type_are_read() {
    let mut writer = Writer::new(3, 0, 12);
    writer.entry("u8", 0, &[200]);
    writer.entry("i8", 1, &[200]);
    writer.entry("u16", 2, &[1, 2]);
    writer.entry("i16", 3, &[0xff, 0xff]);
    writer.entry("u32", 4, &u32::MAX.to_le_bytes());
    writer.entry("i32", 5, &(-7i32).to_le_bytes());
    writer.entry("f32", 6, &0.1f32.to_le_bytes());
    writer.entry("bool", 7, &[1]);
    writer.entry("u64", 10, &u64::MAX.to_le_bytes());
    writer.entry("i64", 11, &i64::MIN.to_le_bytes());
    writer.entry("f64", 12, &0.1f64.to_le_bytes());
    writer.entry("text", 8, &[]);
    writer.text(b"a \xff\0\0");
    let metadata = Header::parse(&writer.bytes).unwrap().metadata;
    let expected = [
        ("u8", Value::Unsigned(200)),
        ("i8", Value::Signed(-56)),
        ("u16", Value::Unsigned(513)),
        ("i16", Value::Signed(-1)),
        ("u32", Value::Unsigned(u32::MAX.into())),
        ("i32", Value::Signed(-7)),
        ("f32", Value::Float(0.1f32.into())),
        ("bool", Value::Bool(true)),
        ("u64", Value::Unsigned(u64::MAX)),
        ("i64", Value::Signed(i64::MIN)),
        ("f64", Value::Float(0.1)),
        ("text", Value::Text("a \u{fffd}".to_owned())),
    ];
    assert_eq!(metadata.len(), expected.len());
    for (key, value) in expected {
        assert_eq!(metadata[key], value, "{key}");
    }
}

#[test]
fn tensors_come_outermost_first_and_data_begins_at_the_alignment() {
    for version in 1..=3 {
        let mut writer = Writer::new(version, 2, 1);
        writer.entry(ALIGNMENT, U32, &64u32.to_le_bytes());
        writer.tensor("a", &[2, 3], 0);
        writer.tensor("b", &[5], 128);
        let header = Header::parse(&writer.bytes).unwrap();
        let [a, b] = header.tensors.as_slice() else {
            panic!("{:?}", header.tensors);
        };
        assert_eq!((a.name.as_str(), a.shape.as_slice()), ("a", &[3, 2][..]));
        assert_eq!((b.format, b.offset), (12, 128));
        let end = writer.bytes.len() as u64;
        assert_eq!(header.data_offset, end.next_multiple_of(64), "{version}");
        let cut = &writer.bytes[..writer.bytes.len() - 1];
        check_refused(cut, "it ends inside b; it is truncated");
    }
}

#[test]
fn numbers_beyond_the_limits_are_refused_before_memory_is_taken() {
    check_refused(&Writer::new(3, 1 << 20, 0).bytes, "1048576 weights");
    check_refused(&Writer::new(3, 0, u64::MAX).bytes, "entries of metadata");
    let mut writer = Writer::new(3, 0, 1);
    writer.entry("k", 9, &0u32.to_le_bytes());
    let start = writer.bytes.clone();
    writer.length(1 << 24);
    check_refused(&writer.bytes, "16777216 elements");
    writer.bytes = start;
    writer.length(1 << 22);
    check_refused(&writer.bytes, "truncated");
    let mut writer = Writer::new(3, 0, 1);
    writer.entry("k", 9, &[]);
    for _ in 0..4 {
        writer.put(&9u32.to_le_bytes());
        writer.length(1);
    }
    check_refused(&writer.bytes, "unknown type 9");
    for (dimensions, expected) in [
        (&[1, 1, 1, 1, 1][..], "5 dimensions"),
        (&[1 << 40, 1 << 40], "absurd shape"),
        (&[0], "absurd shape"),
    ] {
        let mut writer = Writer::new(3, 1, 0);
        writer.tensor("w", dimensions, 0);
        check_refused(&writer.bytes, expected);
    }
    let mut writer = Writer::new(3, 1, 0);
    writer.tensor("w", &[4], 33);
    check_refused(&writer.bytes, "no multiple of 32");
}
