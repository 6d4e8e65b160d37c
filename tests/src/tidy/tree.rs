//! The repository on disk: which files there are, and what cargo says about its crates.
//!
//! Owns: reading; the only part of the rules that touches files or starts a process. Build output and hidden folders
//! other than `.ci` are not looked at.

use super::Source;
use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

/// A checkout, read once.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    sources: Vec<Source>,
    paths: Vec<String>,
}

impl Tree {
    /// Reads the checkout that cargo runs this test in.
    ///
    /// # Errors
    /// If a folder or a Rust file cannot be read.
    pub fn of_this_repository() -> io::Result<Self> {
        Self::read(crate::root().canonicalize()?)
    }

    /// Reads the checkout at `root`.
    ///
    /// # Errors
    /// If a folder or a Rust file cannot be read.
    pub fn read(root: PathBuf) -> io::Result<Self> {
        let mut tree = Self { root, sources: Vec::new(), paths: Vec::new() };
        tree.walk("")?;
        tree.paths.sort();
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn walk(&mut self, folder: &str) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "target" || (name.starts_with('.') && name != ".ci") {
                continue;
            }
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() {
                self.walk(&path)?;
            } else if path.ends_with(".rs") {
                self.sources.push(Source::new(path.clone(), fs::read_to_string(entry.path())?));
            }
            self.paths.push(path);
        }
        Ok(())
    }

    /// Every Rust file, sorted by path.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every file and folder, relative and sorted.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The text of one file; `None` if it does not exist.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// What `cargo metadata --no-deps` says.
    ///
    /// # Errors
    /// If cargo cannot be run, refuses the workspace, or prints something else than JSON.
    pub fn metadata(&self) -> io::Result<serde_json::Value> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let out = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
            .current_dir(&self.root)
            .output()?;
        if !out.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&out.stderr).into_owned()));
        }
        serde_json::from_slice(&out.stdout).map_err(io::Error::other)
    }
}
