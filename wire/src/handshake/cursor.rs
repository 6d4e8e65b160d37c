//! Bounded little-endian reader over bytes of a peer, and the writing counterpart.
//!
//! Owns: nothing. Invariants: C1 a read past the end is an error with its position, never a panic.
//! Cost: one bounds check per field.

/// Bytes ended, or a field had a value it cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Short {
    /// Where the field begins.
    pub(crate) offset: usize,
    /// How many bytes it needs.
    pub(crate) need: usize,
}

/// Reads fixed-width little-endian fields one after the other.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn take(&mut self, need: usize) -> Result<&'a [u8], Short> {
        let short = Short { offset: self.offset, need };
        let end = self.offset.checked_add(need).ok_or(short)?;
        let field = self.bytes.get(self.offset..end).ok_or(short)?;
        self.offset = end;
        Ok(field)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let short = Short { offset: self.offset, need: N };
        self.take(N)?.try_into().map_err(|_| short)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    /// The bytes not read yet.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        self.offset = self.bytes.len();
        rest
    }

    /// Text behind a length byte.
    pub(crate) fn short_text(&mut self) -> Result<&'a [u8], Short> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }
}

/// Appends text of at most 255 bytes behind a length byte; longer text is cut at a character.
pub(crate) fn put_short_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(u8::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}
