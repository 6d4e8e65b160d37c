//! The environment of a process: values by key, inherited from its parent, copied when changed.
//!
//! Cost: inheriting is one reference count; a process without one has nothing.

use rustc_hash::FxBuildHasher;
use shard_wire::ask::EnvText;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

type Plain = Arc<dyn Any + Send + Sync>;

/// A value, and whether it is never shown.
#[derive(Clone)]
pub(crate) struct Value {
    plain: Plain,
    is_secret: bool,
}

impl Value {
    /// A value that may be shown.
    pub(crate) fn open<T: Any + Send + Sync>(value: T) -> Self {
        Self { plain: Arc::new(value), is_secret: false }
    }

    /// A value that is never shown.
    pub(crate) fn secret<T: Any + Send + Sync>(value: T) -> Self {
        Self { plain: Arc::new(value), is_secret: true }
    }
}

/// What is shown in place of a secret.
const REDACTED: &str = "[redacted]";

/// Values by key. Keys do not depend on case. `Debug` prints keys only; tools show values where the node's option
/// `expose_env` allows it, and those of secrets never.
#[derive(Clone, Default)]
pub struct Env {
    values: Option<Arc<HashMap<Box<str>, Value, FxBuildHasher>>>,
}

impl Env {
    /// The value under a key, if it is of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        let values = self.values.as_ref()?;
        values.get(key.to_uppercase().as_str())?.plain.clone().downcast().ok()
    }

    /// Sets a value. Others that share this environment keep theirs.
    pub fn set<T: Any + Send + Sync>(&mut self, key: &str, value: T) {
        self.put(key, Value::open(value));
    }

    /// Sets a value that is never shown, only its key is. A value under the same key that is set later over it stays a
    /// secret only if it is set as one.
    pub fn set_secret<T: Any + Send + Sync>(&mut self, key: &str, value: T) {
        self.put(key, Value::secret(value));
    }

    /// What tools show: each key, in order, with its value if values are exposed, it is no secret, and it is a text, a
    /// number or a truth value.
    #[must_use]
    pub fn shown(&self, exposed: bool) -> Vec<(String, String)> {
        let values = self.values.iter().flat_map(|values| values.iter());
        let mut shown: Vec<_> = values
            .map(|(key, value)| {
                let text =
                    if value.is_secret || !exposed { REDACTED.to_owned() } else { text_of(&*value.plain) };
                (key.to_string(), text)
            })
            .collect();
        shown.sort_unstable();
        shown
    }

    /// Sets a value and returns the one it replaces.
    pub(crate) fn put(&mut self, key: &str, value: Value) -> Option<Value> {
        let values = Arc::make_mut(self.values.get_or_insert_default());
        values.insert(key.to_uppercase().into(), value)
    }

    /// Removes a value; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        self.take(key).is_some()
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        let key = key.to_uppercase();
        let values = self.values.as_mut().filter(|values| values.contains_key(key.as_str()))?;
        Arc::make_mut(values).remove(key.as_str())
    }

    /// The keys, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.values.iter().flat_map(|values| values.keys().map(|key| key.to_string())).collect();
        keys.sort_unstable();
        keys
    }

    /// What can be sent to another node: texts, numbers and truth values, without secrets; else the key of what cannot.
    pub(crate) fn texts(&self, most: usize) -> Result<Vec<(String, EnvText)>, String> {
        let mut texts = Vec::new();
        for (key, value) in self.values.iter().flat_map(|values| values.iter()) {
            if value.is_secret {
                continue;
            }
            match wire_of(&*value.plain) {
                Some(text) if texts.len() < most => texts.push((key.to_string(), text)),
                _ => return Err(key.to_string()),
            }
        }
        Ok(texts)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.as_ref().is_none_or(|values| values.is_empty())
    }

    /// This environment with the other one's values over it.
    pub(crate) fn overlaid_by(&self, over: &Self) -> Self {
        match (&self.values, &over.values) {
            (_, None) => self.clone(),
            (None, Some(_)) => over.clone(),
            (Some(base), Some(over)) => {
                let mut values = (**base).clone();
                values.extend(over.iter().map(|(key, value)| (key.clone(), value.clone())));
                Self { values: Some(Arc::new(values)) }
            }
        }
    }
}

/// A value as it is sent, if its type is a plain one.
fn wire_of(value: &(dyn Any + Send + Sync)) -> Option<EnvText> {
    macro_rules! numbers {
        ($($type:ty => $kind:ident),*) => {
            $(if let Some(value) = value.downcast_ref::<$type>() {
                return Some(EnvText::$kind(*value));
            })*
        };
    }
    numbers!(bool => Bool, i64 => I64, u64 => U64, f64 => F64, i32 => I32, u32 => U32, u16 => U16);
    let text = value.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| value.downcast_ref::<&'static str>().copied());
    text.map(|text| EnvText::Text(text.to_owned()))
}

/// A value as text, if its type is a plain one.
fn text_of(value: &(dyn Any + Send + Sync)) -> String {
    macro_rules! plain {
        ($($type:ty),*) => {
            $(if let Some(value) = value.downcast_ref::<$type>() {
                return value.to_string();
            })*
        };
    }
    plain!(String, &'static str, Box<str>, Arc<str>, bool, char, i32, i64, u16, u32, u64, usize, f64);
    "[not text]".to_owned()
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Env;

    #[test]
    fn a_copy_goes_its_own_way_and_values_do_not_print() {
        let mut parent = Env::default();
        parent.set("limit", 7_u32);
        parent.set("secret", String::from("hunter2"));
        let mut child = parent.clone();
        child.set("LIMIT", 8_u32);
        assert!(child.remove("Secret") && !child.remove("secret"));
        assert_eq!(
            (parent.get("Limit").as_deref(), child.get("limit").as_deref()),
            (Some(&7_u32), Some(&8_u32))
        );
        assert_eq!(parent.get::<String>("limit"), None);
        assert_eq!(format!("{parent:?}"), r#"{"LIMIT", "SECRET"}"#);
        let over = Env::default().overlaid_by(&child);
        assert_eq!(parent.overlaid_by(&over).keys(), ["LIMIT", "SECRET"]);
        assert_eq!(parent.overlaid_by(&over).get("limit").as_deref(), Some(&8_u32));
        assert!(Env::default().is_empty());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let mut env = Env::default();
        env.set("limit", 7_u32);
        env.set("codec", vec![1_u8]);
        env.set_secret("password", String::from("hunter2"));
        let pair = |key: &str, text: &str| (key.to_owned(), text.to_owned());
        let hidden =
            [pair("CODEC", "[redacted]"), pair("LIMIT", "[redacted]"), pair("PASSWORD", "[redacted]")];
        assert_eq!(env.shown(false), hidden);
        let exposed = [pair("CODEC", "[not text]"), pair("LIMIT", "7"), pair("PASSWORD", "[redacted]")];
        assert_eq!(env.clone().shown(true), exposed);
        assert_eq!(env.get::<String>("password").as_deref().map(String::as_str), Some("hunter2"));
        assert!(!format!("{env:?}").contains("hunter2"));
    }
}
