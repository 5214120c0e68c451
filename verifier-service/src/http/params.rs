//! Parameters of a request, taken out one by one with a check of their type. Those that are left in the end are unknown: they
//! are refused, or ignored and named.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::error::{ApiError, shown};

/// Most unknown parameters of a request that are named.
const MAX_NAMED: usize = 16;
/// Most bytes of a parameter's path that are repeated.
const MAX_PATH_BYTES: usize = 200;

/// An object of parameters.
#[derive(Debug)]
pub(super) struct Params {
    /// Path of the object, such as `messages[0]`; empty at the top.
    path: String,
    fields: Map<String, Value>,
    unknown: Unknown,
}

/// Treatment of unknown parameters in all objects of a request.
#[derive(Clone, Debug)]
pub(super) enum Unknown {
    /// The first one is an error.
    Refused,
    /// They are ignored, and their paths are collected.
    Ignored(Ignored),
}

/// Paths of ignored parameters, each once. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored(Arc<Mutex<Vec<String>>>);

impl Ignored {
    /// Paths so far, in order.
    pub(super) fn paths(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn add(&self, path: String) {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() < MAX_NAMED && !paths.contains(&path) {
            paths.push(path);
        }
    }
}

impl Params {
    /// The parameters of a body.
    pub(super) fn new(fields: Map<String, Value>, unknown: Unknown) -> Self {
        Self {
            path: String::new(),
            fields,
            unknown,
        }
    }

    /// The parameters of an object within this one, at `path` from the top.
    pub(super) fn within(&self, path: String, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(fields) => Ok(Self {
                path,
                fields,
                unknown: self.unknown.clone(),
            }),
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

    /// True if the parameter is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a parameter that is there and not null, which stays where it is.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// The parameters that are left, and the treatment of unknown ones.
    pub(super) fn into_parts(self) -> (Map<String, Value>, Unknown) {
        (self.fields, self.unknown)
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

    /// Takes a whole number, which may be written as `8.0` or `8e0`.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>, ApiError> {
        let expected = "a whole number from 0 to 4294967295";
        self.typed(name, expected, |value| {
            let count = whole(&value).and_then(|count| u32::try_from(count).ok());
            count.ok_or(value)
        })
    }

    /// Takes a count of which -1 means that there is none, as null does.
    pub(super) fn limit(&mut self, name: &str) -> Result<Option<u32>, ApiError> {
        self.drop_minus_one(name);
        self.count(name)
    }

    /// Takes a seed. -1 asks for a random one; other negative numbers are seeds.
    pub(super) fn seed(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        self.drop_minus_one(name);
        self.typed(name, "a whole number of 64 bits", |value| {
            let seed = whole(&value).and_then(|seed| {
                let negative = || i64::try_from(seed).ok().map(|seed| seed as u64);
                u64::try_from(seed).ok().or_else(negative)
            });
            seed.ok_or(value)
        })
    }

    fn drop_minus_one(&mut self, name: &str) {
        if self.fields.get(name).and_then(whole) == Some(-1) {
            self.fields.remove(name);
        }
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
            .map(|value| self.within(path, value))
            .transpose()
    }

    /// The same object, of which no unknown parameter is ignored.
    pub(super) fn strictly(self) -> Self {
        Self {
            unknown: Unknown::Refused,
            ..self
        }
    }

    /// `value` of the parameter `name`, which must be there.
    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, ApiError> {
        value.ok_or_else(|| {
            let path = self.path(name);
            let message = format!("{path} is missing: it must be given");
            ApiError::parameter(path, message).coded("missing_required_parameter")
        })
    }

    /// Refuses a parameter that this server does not have, unless its value asks for nothing: it is empty, false, or one of
    /// `neutral`.
    pub(super) fn refuse(&mut self, name: &str, neutral: &[Value]) -> Result<(), ApiError> {
        match self.take(name) {
            Some(value) if !asks_for_nothing(&value, neutral) => {
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

    /// Takes parameters whose values change nothing that this server does.
    pub(super) fn skip(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Refuses or collects parameters that are left.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        for name in self.fields.keys() {
            let path = self.path(name);
            let message = format!("{} is not a parameter of this API", shown(&path));
            self.unknown(path, message, "unknown_parameter")?;
        }
        Ok(())
    }

    /// Refuses what is at `path` and this server does not have, or ignores and names it.
    pub(super) fn unknown(
        &self,
        mut path: String,
        message: String,
        code: &'static str,
    ) -> Result<(), ApiError> {
        path.truncate(path.floor_char_boundary(MAX_PATH_BYTES));
        match &self.unknown {
            Unknown::Refused => Err(ApiError::parameter(path, message).coded(code)),
            Unknown::Ignored(ignored) => {
                ignored.add(path);
                Ok(())
            }
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

/// The number, if it is whole and fits 64 bits with any sign.
fn whole(value: &Value) -> Option<i128> {
    let integer = value.as_i64().map(i128::from);
    let float = || {
        let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
        // Beyond this, floats do not tell neighbouring whole numbers apart.
        (float.abs() <= (1_u64 << f64::MANTISSA_DIGITS) as f64).then_some(float as i128)
    };
    integer
        .or_else(|| value.as_u64().map(i128::from))
        .or_else(float)
}

/// True for an empty value and those that are `neutral`. False is empty unless true is neutral.
fn asks_for_nothing(value: &Value, neutral: &[Value]) -> bool {
    let is_neutral = |value: &Value| neutral.iter().any(|neutral| is_same(neutral, value));
    let turns_off = *value == Value::Bool(false) && is_neutral(&Value::Bool(true));
    is_neutral(value) || is_empty(value) && !turns_off
}

/// True for values that ask for nothing of most parameters.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// True if both are the same value; 1 and 1.0 are.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}
