//! A folder that lives as long as a test.
//!
//! Owns: unique names below the system's temporary folder. Removed on drop; kept while panicking, because the logs in it
//! tell why.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, thread};

/// A new, empty folder.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a folder whose name begins with `label`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(label: &str) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("shard-{label}-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left behind by a killed process that had our number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !thread::panicking() {
            // A folder that cannot be removed fails no test.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TempDir;

    #[test]
    fn folders_are_distinct_and_go_away() {
        let (a, b) = (TempDir::new("x").unwrap(), TempDir::new("x").unwrap());
        assert_ne!(a.path(), b.path());
        std::fs::write(a.path().join("log"), "x").unwrap();
        let gone = a.path().to_owned();
        drop(a);
        assert!(!gone.exists() && b.path().is_dir());
    }
}
