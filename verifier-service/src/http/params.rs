//! Parameters of a request, taken out one by one with a check of their type. Those that are left in the end are unknown.

use serde_json::{Map, Value};

use super::error::{ApiError, shown};

/// An object of parameters.
#[derive(Debug)]
pub(super) struct Params {
    /// Path of the object, such as `messages[0]`; empty at the top.
    path: String,
    fields: Map<String, Value>,
}

impl Params {
    /// The parameters of a body.
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self {
            path: String::new(),
            fields,
        }
    }

    /// The parameters of the object at `path`.
    pub(super) fn at(path: String, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(fields) => Ok(Self { path, fields }),
            other => Err(wrong(&path, &other, "an object")),
        }
    }

    /// Path of the parameter `name`.
    pub(super) fn path(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }

    /// Takes a value of any type. Null means absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.typed(name, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.typed(name, "true or false", |value| value.as_bool().ok_or(value))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<f32>, ApiError> {
        self.typed(name, "a number", |value| {
            value.as_f64().map(|number| number as f32).ok_or(value)
        })
    }

    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, ApiError> {
        let expected = "a whole number from 0 to 4294967295";
        self.typed(name, expected, |value| {
            let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
            count.ok_or(value)
        })
    }

    /// Takes a seed. A negative number is a seed, too.
    pub(super) fn seed(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        self.typed(name, "a whole number of 64 bits", |value| {
            let negative = || value.as_i64().map(|seed| seed as u64);
            value.as_u64().or_else(negative).ok_or(value)
        })
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        self.typed(name, "a list", |value| match value {
            Value::Array(items) => Ok(items),
            other => Err(other),
        })
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, ApiError> {
        let path = self.path(name);
        self.take(name)
            .map(|value| Self::at(path, value))
            .transpose()
    }

    /// `value` of the parameter `name`, which must be there.
    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, ApiError> {
        value.ok_or_else(|| {
            let path = self.path(name);
            let message = format!("{path} is missing: it must be given");
            ApiError::parameter(path, message).coded("missing_required_parameter")
        })
    }

    /// Refuses a parameter that this server does not have, unless its value is one of `neutral`, which change nothing.
    pub(super) fn refuse(&mut self, name: &str, neutral: &[Value]) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if !neutral.contains(&value) => {
                let path = self.path(name);
                let allowed: Vec<String> = neutral.iter().map(Value::to_string).collect();
                let allowed = match allowed.join(" or ") {
                    none if none.is_empty() => "leave it out".to_owned(),
                    values => format!("leave it out, or send {values}"),
                };
                let message = format!("{path} is not supported by this server: {allowed}");
                Err(ApiError::parameter(path, message).coded("unsupported_parameter"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses parameters that are left.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.fields.keys().next() {
            Some(name) => {
                let mut path = self.path(name);
                let message = format!("{} is not a parameter of this API", shown(&path));
                path.truncate(path.floor_char_boundary(200));
                Err(ApiError::parameter(path, message).coded("unknown_parameter"))
            }
            None => Ok(()),
        }
    }

    fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, ApiError> {
        let value = self.take(name).map(read).transpose();
        value.map_err(|value| wrong(&self.path(name), &value, expected))
    }
}

/// The error for a value of the wrong type or out of its range.
pub(super) fn wrong(path: &str, value: &Value, expected: &str) -> ApiError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    let message = format!("{path} is {found}: it must be {expected}");
    ApiError::parameter(path, message).coded("invalid_type")
}
