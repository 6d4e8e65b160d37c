//! Where cargo put a program of the workspace; built if it is not there.
//!
//! Owns: asking cargo, once per program and test process. The profile is `demo`: optimised, and what `make test` builds
//! before the tests start, so that here cargo usually only confirms that nothing changed.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, PoisonError};

#[expect(
    clippy::disallowed_types,
    reason = "no shard runs in a test's own process; the lock keeps two builds apart"
)]
type Built = std::sync::Mutex<BTreeMap<String, PathBuf>>;

/// The program `node`, which runs one node of the demo cluster. `SHARD_NODE_BIN` names another one.
///
/// # Errors
/// If cargo cannot build it; the text is cargo's.
pub fn node_binary() -> io::Result<PathBuf> {
    match std::env::var_os("SHARD_NODE_BIN") {
        Some(path) => Ok(path.into()),
        None => binary("shard-scenarios", "node"),
    }
}

/// The program `name` of the crate `package`, built if need be.
///
/// # Errors
/// If cargo cannot build it; the text is cargo's.
pub fn binary(package: &str, name: &str) -> io::Result<PathBuf> {
    static BUILT: LazyLock<Built> = LazyLock::new(Built::default);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return Ok(path.clone());
    }
    let path = build(package, name)?;
    built.insert(name.to_owned(), path.clone());
    Ok(path)
}

/// The Python that has the SDKs of `tests/requirements.txt`, made by `tests/prepare`. `SHARD_TEST_VENV` names another
/// virtual environment than the one in the target directory.
///
/// # Errors
/// If it is not there; the text says how to make it.
pub fn venv_python() -> io::Result<PathBuf> {
    let target = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        target.unwrap_or_else(|| crate::root().join("target")).join("venv")
    };
    python_in(&std::env::var_os("SHARD_TEST_VENV").map_or_else(target, PathBuf::from))
}

fn python_in(venv: &Path) -> io::Result<PathBuf> {
    let python = venv.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let what = format!("no python in {}: run `tests/prepare test {}` first", venv.display(), venv.display());
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}

fn build(package: &str, name: &str) -> io::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["build", "--profile", "demo", "--message-format", "json-render-diagnostics"])
        .args(["-p", package, "--bin", name])
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .output()?;
    let errors =
        || io::Error::other(format!("cargo cannot build {name}: {}", String::from_utf8_lossy(&out.stderr)));
    if !out.status.success() {
        return Err(errors());
    }
    executable(&String::from_utf8_lossy(&out.stdout), name).ok_or_else(errors)
}

/// The path of the program in cargo's messages, one JSON object per line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let target = &message["target"];
        let is_program = target["name"] == name && target["kind"].as_array()?.contains(&"bin".into());
        if is_program { message["executable"].as_str().map(Into::into) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::{binary, executable, python_in};
    use crate::harness::TempDir;
    use std::path::Path;

    #[test]
    fn the_program_is_told_from_a_library_of_its_name() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"node"},"executable":null}"#,
            "\nnoise\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"node"},"executable":"/t/node"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages, "node").as_deref(), Some(Path::new("/t/node")));
        assert_eq!(executable(messages, "demo"), None);
    }

    #[test]
    fn a_missing_virtual_environment_says_how_to_make_it() {
        let folder = TempDir::new("venv").unwrap();
        let error = python_in(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tests/prepare test"), "{error}");
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::write(folder.path().join("bin/python"), "").unwrap();
        assert_eq!(python_in(folder.path()).unwrap(), folder.path().join("bin/python"));
    }

    #[test]
    fn cargo_s_words_come_back_when_there_is_no_such_program() {
        let error = binary("shard-wire", "no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program"), "{error}");
    }
}
