//! What the machine lacks, and the exact remedy.

/// What the machine lacks, and the exact remedy. A program that meets one should exit with status 78.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreflightError {
    /// The kernel is older than io_uring with socket operations.
    #[error("the kernel is {found}, but io_uring sockets need Linux 5.8 or newer; upgrade the kernel")]
    Kernel {
        /// `uname -r`.
        found: String,
    },
    /// `io_uring_setup` answered EPERM while the sysctl allows it: a seccomp profile.
    #[error(
        "io_uring is denied (EPERM) by a seccomp profile; run the container with \
         `--security-opt seccomp=deploy/seccomp/io-uring.json`, or allow io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Seccomp,
    /// `kernel.io_uring_disabled` forbids it.
    #[error(
        "io_uring is disabled by sysctl kernel.io_uring_disabled = {value}; run `sysctl -w kernel.io_uring_disabled=0`"
    )]
    SysctlDisabled {
        /// 1: only privileged; 2: nobody.
        value: u32,
    },
    /// `io_uring_setup` answered ENOSYS.
    #[error(
        "this kernel has no io_uring (ENOSYS): a sandbox such as gVisor, or a kernel built without it; use another runtime or kernel"
    )]
    NotSupported,
    /// An operation the reactor uses is missing.
    #[error("io_uring lacks the operation {operation}; upgrade the kernel to 5.8 or newer")]
    MissingOperation {
        /// Name of the operation.
        operation: &'static str,
    },
    /// The limit of locked memory is too small.
    #[error(
        "the limit of locked memory is {found_bytes} bytes, but {shards} shard(s) need {need_bytes}; \
         run `ulimit -l {need_kib}` (shell), `--ulimit memlock={need_bytes}:{need_bytes}` (docker) or \
         `LimitMEMLOCK={need_bytes}` (systemd)"
    )]
    Memlock {
        /// The soft limit.
        found_bytes: u64,
        /// What is needed.
        need_bytes: u64,
        /// The same in KiB, as `ulimit -l` takes it.
        need_kib: u64,
        /// Shards that were asked for.
        shards: u16,
    },
    /// The limit of open files is too small.
    #[error("the limit of open files is {found}, but {need} are needed; run `ulimit -n {need}`")]
    OpenFiles {
        /// The soft limit.
        found: u64,
        /// What is needed.
        need: u64,
    },
    /// Something else went wrong while a ring was made.
    #[error("could not create an io_uring: {0}; run the node with `doctor` for details")]
    Ring(#[source] std::io::Error),
    /// More pinned shards than CPUs this process may use.
    #[error(
        "{shards} pinned shards do not fit on {cpus} usable CPU(s); use fewer shards or switch pinning off"
    )]
    Cpus {
        /// Shards that were asked for.
        shards: u16,
        /// CPUs in the affinity mask.
        cpus: usize,
    },
}
