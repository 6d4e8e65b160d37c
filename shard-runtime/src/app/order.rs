//! In which order applications start: whatever one depends on comes before it.

use crate::error::AppError;
use std::collections::BTreeMap;

/// What is known of one application's dependencies.
pub(crate) type Edges<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// The names in an order in which each comes after what it depends on; among those that do not depend on each other, the
/// order given stays.
///
/// # Errors
/// A circle, or a dependency that is not among them.
pub(crate) fn ordered<'a>(names: &[&'a str], edges: &Edges<'a>) -> Result<Vec<&'a str>, AppError> {
    let mut done = Vec::with_capacity(names.len());
    for name in names {
        // A walk with a path of its own, not recursion: an operator's list may be long.
        let mut path = vec![(*name, 0)];
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            let on = edges.get(at).and_then(|depends| depends.get(*next)).copied();
            *next += 1;
            let Some(on) = on else {
                path.pop();
                if !done.contains(&at) {
                    done.push(at);
                }
                continue;
            };
            if done.contains(&on) {
                continue;
            }
            if !edges.contains_key(on) {
                return Err(AppError::Depends { application: at.into(), on: on.into(), must_be: "loaded" });
            }
            if let Some(from) = path.iter().position(|(passed, _)| *passed == on) {
                let circle = path.get(from..).unwrap_or_default().iter().map(|(name, _)| (*name).to_owned());
                return Err(AppError::Cycle { path: circle.chain([on.to_owned()]).collect() });
            }
            path.push((on, 0));
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::{AppError, Edges, ordered};

    fn edges(list: &[(&'static str, &[&'static str])]) -> Edges<'static> {
        list.iter().map(|(name, on)| (*name, on.to_vec())).collect()
    }

    #[test]
    fn what_is_depended_on_comes_first_and_the_rest_keeps_its_order() {
        let edges = edges(&[
            ("web", &["orders", "auth"]),
            ("auth", &["store"]),
            ("orders", &["store"]),
            ("store", &[]),
            ("log", &[]),
        ]);
        assert_eq!(
            ordered(&["web", "log", "store"], &edges).unwrap(),
            ["store", "orders", "auth", "web", "log"]
        );
        assert_eq!(ordered(&["auth"], &edges).unwrap(), ["store", "auth"]);
    }

    #[test]
    fn a_circle_and_an_unknown_name_are_told() {
        let circle = edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
        match ordered(&["a"], &circle) {
            Err(AppError::Cycle { path }) => assert_eq!(path, ["b", "c", "b"]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(ordered(&["s"], &edges(&[("s", &["s"])])), Err(AppError::Cycle { .. })));
        match ordered(&["a"], &edges(&[("a", &["ghost"])])) {
            Err(AppError::Depends { application, on, must_be }) => {
                assert_eq!((&*application, &*on, must_be), ("a", "ghost", "loaded"));
            }
            other => panic!("{other:?}"),
        }
    }
}
