//! Anonymous memory straight from the system: reserved at once, paid for when touched.
//!
//! Owns: one mapping, unmapped on drop. Invariant: R1 `[address, address + length)` is readable, writable and zero until
//! written, for as long as the mapping lives.
#![expect(unsafe_code, reason = "mmap; proven by a_mapping_is_zero_and_writable")]

use std::io;

/// Alignment of a mapping: a huge page.
const ALIGN: usize = 2 << 20;

/// A private anonymous mapping.
#[derive(Debug)]
pub(crate) struct Mapping {
    raw: *mut libc::c_void,
    raw_length: usize,
    address: *mut u8,
}

// SAFETY: it only owns an address range; what is in it is shared by those who know its layout.
unsafe impl Send for Mapping {}
// SAFETY: as above: no method of a shared mapping touches the memory.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `length` bytes, aligned to a huge page. Pages are committed by the first touch.
    ///
    /// # Errors
    /// The system refused the mapping.
    pub(crate) fn reserve(length: usize) -> io::Result<Self> {
        let raw_length = length + ALIGN;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let raw = unsafe {
            libc::mmap(std::ptr::null_mut(), raw_length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if raw == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pad = raw.cast::<u8>().align_offset(ALIGN);
        let address = raw.cast::<u8>().wrapping_add(pad);
        // SAFETY: advice on a range inside our own mapping; a refusal changes nothing but speed.
        unsafe { libc::madvise(address.cast(), length, libc::MADV_HUGEPAGE) };
        Ok(Self { raw, raw_length, address })
    }

    /// Reserves `length` bytes in pages of the system's ordinary size: for what stays small. Pages are committed by the
    /// first touch.
    ///
    /// # Errors
    /// The system refused the mapping.
    pub(crate) fn reserve_small(length: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let raw = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if raw == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { raw, raw_length: length, address: raw.cast() })
    }

    /// Start of the usable range.
    pub(crate) fn address(&self) -> *mut u8 {
        self.address
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: R1 ends here; the owner gives the range up with its last reference.
        unsafe { libc::munmap(self.raw, self.raw_length) };
    }
}

/// A soft resource limit; `u64::MAX` is unlimited.
pub(crate) fn soft_limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local that the call fills.
    let answer = unsafe { libc::getrlimit(resource, &raw mut limit) };
    (answer == 0).then_some(limit.rlim_cur)
}

/// The CPUs this thread may run on, in ascending order.
pub(crate) fn affinity() -> Vec<usize> {
    // SAFETY: all-zero bytes are an empty CPU set.
    let mut set = unsafe { std::mem::zeroed::<libc::cpu_set_t>() };
    // SAFETY: the pointer is to a local of the given size that the call fills.
    let answer = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if answer != 0 {
        return Vec::new();
    }
    // SAFETY: the index is below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Lets this thread run on these CPUs; with none, and where the system refuses, it stays where it is.
pub(crate) fn set_affinity(cpus: &[usize]) {
    if cpus.is_empty() {
        return;
    }
    // SAFETY: all-zero bytes are an empty CPU set.
    let mut set = unsafe { std::mem::zeroed::<libc::cpu_set_t>() };
    for &cpu in cpus.iter().filter(|&&cpu| cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: the index is below the size of the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the pointer is to a local of the given size that the call reads; a refusal leaves the mask as it was.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}

#[cfg(test)]
mod tests {
    use super::{ALIGN, Mapping, affinity, set_affinity};

    #[test]
    fn a_thread_can_be_freed_from_one_cpu() {
        let all = affinity();
        set_affinity(&all[..1]);
        assert_eq!(affinity(), all[..1]);
        set_affinity(&[]);
        assert_eq!(affinity(), all[..1]);
        set_affinity(&all);
        assert_eq!(affinity(), all);
    }

    #[test]
    fn a_small_mapping_is_zero_and_writable() {
        let mapping = Mapping::reserve_small(8192).unwrap();
        let end = mapping.address().wrapping_add(8191);
        // SAFETY: the last byte of the range (R1).
        assert_eq!(unsafe { end.read() }, 0);
        // SAFETY: the last byte of the range (R1).
        unsafe { end.write(7) };
        // SAFETY: the last byte of the range (R1).
        assert_eq!(unsafe { end.read() }, 7);
    }

    #[test]
    fn a_mapping_is_zero_and_writable() {
        let mapping = Mapping::reserve(3 << 20).unwrap();
        let end = mapping.address().wrapping_add((3 << 20) - 1);
        assert_eq!(mapping.address().align_offset(ALIGN), 0);
        // SAFETY: the last byte of the range (R1).
        assert_eq!(unsafe { end.read() }, 0);
        // SAFETY: the last byte of the range (R1).
        unsafe { end.write(7) };
        // SAFETY: the last byte of the range (R1).
        assert_eq!(unsafe { end.read() }, 7);
    }
}
