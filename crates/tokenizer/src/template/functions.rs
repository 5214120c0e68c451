//! Functions and filters that Hugging Face gives its templates.

use std::{error::Error as _, fmt};

use minijinja::{Environment, Error, ErrorKind, Value, value::Kwargs};

use super::json::{indented_json, python_json};

/// Most spaces that a template may indent JSON by.
const MAX_INDENT: usize = 16;

/// Adds `raise_exception`, `strftime_now` and `tojson`.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", plain_json);
}

/// Message of a template's own `raise_exception`.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The message of a template's own exception, if that is what an error is.
pub(super) fn refusal(error: &Error) -> Option<String> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(Refusal(message)) = inner.downcast_ref() {
            return Some(message.clone());
        }
        source = inner.source();
    }
    None
}

fn raise_exception(message: String) -> Result<Value, Error> {
    let error = Error::new(
        ErrorKind::InvalidOperation,
        "the template raised an exception",
    );
    Err(error.with_source(Refusal(message)))
}

/// Time of a clock that is stopped at midnight of Friday, 26 July 2024, the date that templates fall back to
/// without a clock. A prompt must not change overnight.
fn strftime_now(format: &str) -> Result<String, Error> {
    let mut text = String::with_capacity(format.len() + 8);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        text.push_str(match characters.next() {
            Some('Y') => "2024",
            Some('y') => "24",
            Some('m') => "07",
            Some('d') => "26",
            Some('B') => "July",
            Some('b' | 'h') => "Jul",
            Some('A') => "Friday",
            Some('a') => "Fri",
            Some('j') => "208",
            Some('F') => "2024-07-26",
            Some('H' | 'M' | 'S') => "00",
            Some('I') => "12",
            Some('p') => "AM",
            Some('X' | 'T') => "00:00:00",
            Some('Z') => "UTC",
            Some('z') => "+0000",
            Some('%') => "%",
            other => {
                let message = format!("strftime_now does not know %{}", other.unwrap_or(' '));
                return Err(Error::new(ErrorKind::InvalidOperation, message));
            }
        });
    }
    Ok(text)
}

/// JSON as Python writes it, without the escapes for HTML of the built-in filter.
#[expect(
    clippy::needless_pass_by_value,
    reason = "filters take their options by value"
)]
fn plain_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    for ignored in ["ensure_ascii", "sort_keys", "separators"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    let spaces = indent.filter(|indent| !indent.is_none()).map(|indent| {
        let spaces = indent.as_usize();
        spaces.map_or(4, |spaces| spaces.min(MAX_INDENT))
    });
    Ok(match spaces {
        Some(spaces) => indented_json(value, spaces),
        None => python_json(value),
    })
}
