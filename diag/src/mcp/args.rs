//! Parameters of a tool: one table from which both the input schema and the check of a call are made.
//!
//! Invariant: A1 what the schema refuses, the check refuses too, and names the field; nothing is silently ignored.

use serde_json::{Map, Value, json};

use super::error::ToolError;

/// Longest text parameter in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// Most entries of a list parameter.
const TEXTS_MAX: usize = 64;

/// Type and bounds of a parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// A whole number in these bounds.
    Int { min: u64, max: u64 },
    /// A number not below zero.
    Number,
    /// True or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    /// Default as shown in the schema.
    pub(crate) default: Option<u64>,
    pub(crate) help: &'static str,
}

impl Param {
    /// An optional parameter.
    pub(crate) const fn optional(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, shape, required: false, default: None, help }
    }

    /// A parameter that must be there.
    pub(crate) const fn required(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, shape, required: true, default: None, help }
    }

    /// An optional whole number with a default.
    pub(crate) const fn int(
        name: &'static str,
        min: u64,
        max: u64,
        default: u64,
        help: &'static str,
    ) -> Self {
        Self { name, shape: Shape::Int { min, max }, required: false, default: Some(default), help }
    }

    /// A lower or upper bound of a filter: any whole number, no default.
    pub(crate) const fn bound(name: &'static str, help: &'static str) -> Self {
        Self::optional(name, Shape::Int { min: 0, max: u64::MAX >> 11 }, help)
    }
}

/// Parameters every tool has.
pub(crate) const COMMON: [Param; 2] = [
    Param::optional(
        "node",
        Shape::Text,
        "Node that answers, name@host; omitted: the node you are connected to.",
    ),
    Param::int("timeout", 1, 120, 30, "Seconds to wait for the answer of another node."),
];

/// Checked arguments of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args(Map<String, Value>);

impl Args {
    /// Checks the arguments of a call.
    pub(crate) fn check(params: &[Param], given: Map<String, Value>) -> Result<Self, ToolError> {
        let all = || params.iter().chain(&COMMON);
        for (name, value) in &given {
            let Some(param) = all().find(|param| param.name == name) else {
                let known: Vec<_> = all().map(|param| param.name).collect();
                return Err(ToolError::argument(
                    name,
                    format!("is not a parameter; there are {}", known.join(", ")),
                ));
            };
            check_value(param, value)?;
        }
        match all().find(|param| param.required && !given.contains_key(param.name)) {
            Some(missing) => Err(ToolError::argument(missing.name, String::from("is required"))),
            None => Ok(Self(given)),
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A list of texts; empty if absent.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
    }

    /// A whole number.
    pub(crate) fn int(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(whole)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    /// Whether it was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A flag; false if absent.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The arguments without those that only say where to run.
    pub(crate) fn without_route(&self) -> Map<String, Value> {
        self.0.iter().filter(|(name, _)| *name != "node").map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

/// A whole number, also when written as `5.0`, as JSON Schema has it.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a whole number"
        )]
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
    })
}

fn check_value(param: &Param, value: &Value) -> Result<(), ToolError> {
    let wrong = |text: String| Err(ToolError::argument(param.name, text));
    match param.shape {
        Shape::Text => match value.as_str() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => Ok(()),
            Some(text) => wrong(format!("has {} bytes, at most {TEXT_BYTES_MAX} are taken", text.len())),
            None => wrong(format!("must be a string, not {}", type_of(value))),
        },
        Shape::Texts => match value.as_array() {
            Some(list) if list.len() > TEXTS_MAX => {
                wrong(format!("has {} entries, at most {TEXTS_MAX} are taken", list.len()))
            }
            Some(list) => match list.iter().find(|entry| !entry.is_string()) {
                Some(entry) => wrong(format!("must be a list of strings, not of {}", type_of(entry))),
                None => Ok(()),
            },
            None => wrong(format!("must be a list of strings, not {}", type_of(value))),
        },
        Shape::Int { min, max } => match whole(value) {
            Some(number) if (min..=max).contains(&number) => Ok(()),
            Some(number) => wrong(format!("is {number}, must be {min} to {max}")),
            None => wrong(format!("must be a whole number of {min} to {max}, not {value}")),
        },
        Shape::Number => match value.as_f64() {
            Some(number) if number >= 0.0 => Ok(()),
            _ => wrong(format!("must be a number not below 0, not {value}")),
        },
        Shape::Flag if value.is_boolean() => Ok(()),
        Shape::Flag => wrong(format!("must be true or false, not {value}")),
        Shape::Choice(words) => match value.as_str() {
            Some(word) if words.contains(&word) => Ok(()),
            _ => wrong(format!("is {value}, must be one of {}", words.join(", "))),
        },
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Input schema of a tool.
pub(crate) fn input_schema(params: &[Param]) -> Map<String, Value> {
    let mut properties = Map::new();
    for param in params.iter().chain(&COMMON) {
        let mut schema = match param.shape {
            Shape::Text => json!({ "type": "string", "maxLength": TEXT_BYTES_MAX }),
            Shape::Texts => json!({ "type": "array", "items": { "type": "string" }, "maxItems": TEXTS_MAX }),
            Shape::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Shape::Number => json!({ "type": "number", "minimum": 0 }),
            Shape::Flag => json!({ "type": "boolean", "default": false }),
            Shape::Choice(words) => json!({ "type": "string", "enum": words }),
        };
        if let Some(object) = schema.as_object_mut() {
            object.insert(String::from("description"), Value::from(param.help));
            if let Some(default) = param.default {
                object.insert(String::from("default"), Value::from(default));
            }
        }
        properties.insert(String::from(param.name), schema);
    }
    let required: Vec<_> = params.iter().filter(|param| param.required).map(|param| param.name).collect();
    let mut schema = Map::new();
    schema.insert(String::from("type"), Value::from("object"));
    schema.insert(String::from("properties"), Value::Object(properties));
    if !required.is_empty() {
        schema.insert(String::from("required"), Value::from(required));
    }
    schema.insert(String::from("additionalProperties"), Value::from(false));
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: [Param; 4] = [
        Param::required("pid", Shape::Text, "a pid"),
        Param::int("limit", 0, 10_000, 100, "rows"),
        Param::optional("sort_by", Shape::Choice(&["a", "b"]), "key"),
        Param::optional("items", Shape::Texts, "items"),
    ];

    fn refused(given: Value) -> String {
        let Value::Object(given) = given else { panic!("an object") };
        match Args::check(&PARAMS, given) {
            Err(error) => error.to_string(),
            Ok(args) => panic!("accepted {args:?}"),
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
        let cases = [
            (json!({}), "pid"),
            (json!({ "pid": 5 }), "pid"),
            (json!({ "pid": "x", "limit": -1 }), "limit"),
            (json!({ "pid": "x", "limit": 10_001 }), "limit"),
            (json!({ "pid": "x", "limit": "5" }), "limit"),
            (json!({ "pid": "x", "sort_by": "c" }), "sort_by"),
            (json!({ "pid": "x", "items": ["a", 1] }), "items"),
            (json!({ "pid": "x", "timeout": 121 }), "timeout"),
            (json!({ "pid": "x", "timeout": 0 }), "timeout"),
            (json!({ "pid": "x", "nod": "y" }), "nod"),
        ];
        for (given, field) in cases {
            let text = refused(given);
            assert!(text.contains(&format!("`{field}`")), "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_as_floats() {
        let Value::Object(given) = json!({ "pid": "x", "limit": 5.0 }) else { panic!("an object") };
        let args = Args::check(&PARAMS, given).expect("accepted");
        assert_eq!(args.int("limit"), Some(5));
    }
}
