//! What the kernel says about this OS process: memory, CPU time, threads, files.
//!
//! Threads: the diagnostics thread only. Cost: four small reads under /proc and one directory listing per pass.
//! A value the kernel does not give reads as zero.

use std::fs;
use std::thread;

/// Ticks per second of the CPU times in /proc; part of the kernel's interface, the same on every Linux we build for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Page size of the machines we build for.
const PAGE_BYTES: u64 = 4096;

/// One reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
    /// Resident memory that no file backs, in bytes.
    pub(crate) anonymous_bytes: u64,
    /// Largest resident memory so far, in bytes.
    pub(crate) resident_peak_bytes: u64,
    /// Address space in bytes.
    pub(crate) mapped_bytes: u64,
    /// Thread stacks in bytes.
    pub(crate) stack_bytes: u64,
    /// User CPU time in seconds.
    pub(crate) user_seconds: f64,
    /// System CPU time in seconds.
    pub(crate) system_seconds: f64,
    /// OS threads.
    pub(crate) threads: u64,
    /// Open files.
    pub(crate) files: u64,
    /// Page faults since start.
    pub(crate) page_faults: u64,
    /// Context switches since start, voluntary and not.
    pub(crate) context_switches: u64,
    /// CPUs this process may use.
    pub(crate) cores: u64,
}

impl Usage {
    /// Reads the kernel's counters.
    pub(crate) fn read() -> Self {
        let mut usage = Self {
            cores: thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(1)),
            ..Self::default()
        };
        if let Ok(text) = fs::read_to_string("/proc/self/statm") {
            let mut pages = text.split_ascii_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
            usage.mapped_bytes = pages.next().unwrap_or(0) * PAGE_BYTES;
            let resident = pages.next().unwrap_or(0);
            let file_backed = pages.next().unwrap_or(0);
            usage.resident_bytes = resident * PAGE_BYTES;
            usage.anonymous_bytes = resident.saturating_sub(file_backed) * PAGE_BYTES;
        }
        if let Ok(text) = fs::read_to_string("/proc/self/stat") {
            usage.read_stat(&text);
        }
        if let Ok(text) = fs::read_to_string("/proc/self/status") {
            usage.read_status(&text);
        }
        // The listing itself holds one file open.
        usage.files = fs::read_dir("/proc/self/fd")
            .map_or(0, |entries| u64::try_from(entries.count()).unwrap_or(0).saturating_sub(1));
        usage
    }

    /// Fields are counted from the closing bracket of the program name, which may contain anything.
    fn read_stat(&mut self, text: &str) {
        let Some((_, rest)) = text.rsplit_once(')') else { return };
        let fields: Vec<u64> = rest.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or(0);
        self.page_faults = field(7) + field(9);
        self.user_seconds = field(11) as f64 / TICKS_PER_SECOND;
        self.system_seconds = field(12) as f64 / TICKS_PER_SECOND;
        self.threads = field(17);
    }

    fn read_status(&mut self, text: &str) {
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let number: u64 =
                value.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match name {
                "VmHWM" => self.resident_peak_bytes = number * 1024,
                "VmStk" => self.stack_bytes = number * 1024,
                "voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches" => self.context_switches += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_threads_and_files() {
        let usage = Usage::read();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        assert!(usage.resident_peak_bytes >= usage.resident_bytes / 2, "{usage:?}");
        assert!(usage.threads >= 1 && usage.files >= 1 && usage.cores >= 1, "{usage:?}");
    }

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let mut usage = Usage::default();
        usage.read_stat("1 (a) b) S 1 1 1 0 -1 0 10 0 5 0 250 50 0 0 20 0 7 0 0");
        assert_eq!((usage.page_faults, usage.threads), (15, 7));
        assert!((usage.user_seconds - 2.5).abs() < 1e-9 && (usage.system_seconds - 0.5).abs() < 1e-9);
    }
}
