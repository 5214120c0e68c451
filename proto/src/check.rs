//! Checks that several messages share. Each names the field and says what would be right.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use crate::{ProtocolError, limits};

/// The value of a field that must be there.
pub(crate) fn required<T>(
    field: &str,
    value: Option<T>,
    expected: &str,
) -> Result<T, ProtocolError> {
    value.ok_or_else(|| ProtocolError::missing(field, expected))
}

/// A number within limits, which NaN is not.
pub(crate) fn within<T: PartialOrd + Display>(
    field: &str,
    value: T,
    limits: RangeInclusive<T>,
) -> Result<T, ProtocolError> {
    if limits.contains(&value) {
        return Ok(value);
    }
    let expected = format!("{} to {}", limits.start(), limits.end());
    Err(ProtocolError::invalid(field, value.to_string(), expected))
}

/// A finite number above 0 and at most `most`.
pub(crate) fn positive(field: &str, value: f32, most: f32) -> Result<f32, ProtocolError> {
    if value > 0.0 && value <= most {
        return Ok(value);
    }
    Err(ProtocolError::invalid(
        field,
        value.to_string(),
        format!("above 0 and at most {most}"),
    ))
}

/// A size within limits; `unit` is what is counted.
pub(crate) fn size(
    field: &str,
    size: usize,
    limits: RangeInclusive<usize>,
    unit: &str,
) -> Result<(), ProtocolError> {
    if limits.contains(&size) {
        return Ok(());
    }
    let expected = format!("{} to {} {unit}", limits.start(), limits.end());
    Err(ProtocolError::invalid(
        field,
        format!("{size} {unit} long"),
        expected,
    ))
}

/// An opaque id: printable ASCII, so that it is safe in logs and headers. May be empty where `least` is 0.
pub(crate) fn identifier(field: &str, id: String, least: usize) -> Result<String, ProtocolError> {
    size(field, id.len(), least..=limits::MAX_ID_BYTES, "bytes")?;
    if id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(id);
    }
    Err(ProtocolError::invalid(
        field,
        "not printable ASCII",
        "ASCII without spaces and controls",
    ))
}

/// Name of an acceptance method. The service decides if there is such a method.
pub(crate) fn method(field: &str, name: String) -> Result<String, ProtocolError> {
    size(field, name.len(), 1..=limits::MAX_METHOD_BYTES, "bytes")?;
    if name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    {
        return Ok(name);
    }
    let expected = "lower-case letters, digits and underscores, such as greedy or point_mass";
    Err(ProtocolError::invalid(field, "spelt otherwise", expected))
}

/// Bytes of a tokenizer's fingerprint.
pub(crate) fn fingerprint(field: &str, bytes: &[u8]) -> Result<[u8; 32], ProtocolError> {
    let sized = bytes.try_into().map_err(|_| {
        ProtocolError::invalid(
            field,
            format!("{} bytes long", bytes.len()),
            "32 bytes long",
        )
    })?;
    Ok(sized)
}

/// A value of an enumeration that this release knows, `UNSPECIFIED` included.
pub(crate) fn known<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E, ProtocolError> {
    E::try_from(value).map_err(|_| unspecified(field, value))
}

/// The error for a value of an enumeration that means nothing here.
pub(crate) fn unspecified(field: &str, value: i32) -> ProtocolError {
    ProtocolError::invalid(
        field,
        value.to_string(),
        "one of the values in the schema other than 0",
    )
}

/// A duration for the wire. Half a million years are enough.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
