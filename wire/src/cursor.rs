//! Bounded little-endian reading and writing of fixed layouts: headers and the framework's own bodies.
//!
//! Invariant: C1 a reader never looks past its slice and a writer never grows past its limit; each failure says which
//! field, where, how much it needs and how much there is.
//! Cost: no allocation while reading; a writer appends to one vector.

use crate::error::WireError;

/// The low 32 bits; a plain cast would not say that the rest is dropped on purpose.
#[inline]
pub(crate) const fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Reads fields from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

macro_rules! read_number {
    ($($name:ident: $t:ty),*) => { $(
        #[doc = concat!("The next `", stringify!($t), "`, little-endian. `what` names the field in errors.")]
        ///
        /// # Errors
        /// [`WireError::Short`].
        #[inline]
        pub fn $name(&mut self, what: &'static str) -> Result<$t, WireError> {
            self.array(what).map(<$t>::from_le_bytes)
        }
    )* };
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    read_number!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64, u128: u128);

    /// The next byte, which must be 0 or 1.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Invalid`] for any other value.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, WireError> {
        let offset = self.offset;
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            have => Err(WireError::Invalid { what, offset, have: u64::from(have) }),
        }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else { return Err(self.short(what, N)) };
        self.rest = rest;
        self.offset += N;
        Ok(*head)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn bytes(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], WireError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else { return Err(self.short(what, len)) };
        self.rest = rest;
        self.offset += len;
        Ok(head)
    }

    /// A length of two bytes, at most `max`, and that many bytes.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Limit`].
    pub fn block(&mut self, what: &'static str, max: u16) -> Result<&'a [u8], WireError> {
        let len = self.u16(what)?;
        if len > max {
            return Err(WireError::Limit { what, have: u64::from(len), max: u64::from(max) });
        }
        self.bytes(what, usize::from(len))
    }

    /// As [`Reader::block`], for UTF-8.
    ///
    /// # Errors
    /// [`WireError::Short`], [`WireError::Limit`], [`WireError::Utf8`].
    pub fn text(&mut self, what: &'static str, max: u16) -> Result<&'a str, WireError> {
        let offset = self.offset;
        std::str::from_utf8(self.block(what, max)?).map_err(|_| WireError::Utf8 { what, offset })
    }

    /// Where the next field starts, in bytes.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`WireError::Trailing`].
    pub fn finish(self, what: &'static str) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing { what, extra: self.rest.len() }) }
    }

    #[cold]
    fn short(&self, what: &'static str, need: usize) -> WireError {
        WireError::Short { what, offset: self.offset, need, have: self.rest.len() }
    }
}

/// Appends fields to a vector, up to a limit.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    max: usize,
}

macro_rules! write_number {
    ($($name:ident: $t:ty),*) => { $(
        #[doc = concat!("Appends a `", stringify!($t), "`, little-endian. `what` names the field in errors.")]
        ///
        /// # Errors
        /// [`WireError::Limit`] at the writer's limit.
        pub fn $name(&mut self, what: &'static str, value: $t) -> Result<&mut Self, WireError> {
            self.bytes(what, &value.to_le_bytes())
        }
    )* };
}

impl Writer {
    /// An empty writer that accepts at most `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max }
    }

    write_number!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64, u128: u128);

    /// Appends 0 or 1.
    ///
    /// # Errors
    /// [`WireError::Limit`] at the writer's limit.
    pub fn bool(&mut self, what: &'static str, value: bool) -> Result<&mut Self, WireError> {
        self.u8(what, u8::from(value))
    }

    /// Appends bytes without a length.
    ///
    /// # Errors
    /// [`WireError::Limit`] at the writer's limit.
    pub fn bytes(&mut self, what: &'static str, bytes: &[u8]) -> Result<&mut Self, WireError> {
        let after = self.bytes.len().saturating_add(bytes.len());
        // LIMIT: C1.
        if after > self.max {
            return Err(WireError::Limit { what, have: after as u64, max: self.max as u64 });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(self)
    }

    /// Appends a length of two bytes and the bytes, at most `max`.
    ///
    /// # Errors
    /// [`WireError::Limit`].
    pub fn block(&mut self, what: &'static str, bytes: &[u8], max: u16) -> Result<&mut Self, WireError> {
        match u16::try_from(bytes.len()) {
            Ok(len) if len <= max => self.u16(what, len)?.bytes(what, bytes),
            _ => Err(WireError::Limit { what, have: bytes.len() as u64, max: u64::from(max) }),
        }
    }

    /// As [`Writer::block`], for a text.
    ///
    /// # Errors
    /// [`WireError::Limit`].
    pub fn text(&mut self, what: &'static str, text: &str, max: u16) -> Result<&mut Self, WireError> {
        self.block(what, text.as_bytes(), max)
    }

    /// What was written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, owned.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};
    use crate::error::WireError;

    #[test]
    fn fields_round_trip_and_every_prefix_is_refused() {
        let mut writer = Writer::new(64);
        writer.u8("a", 1).unwrap().u32("b", 2).unwrap().text("c", "hé", 9).unwrap().bool("d", true).unwrap();
        let bytes = writer.into_bytes();
        let read = |bytes: &[u8]| -> Result<(u8, u32, String, bool), WireError> {
            let mut reader = Reader::new(bytes);
            let all = (reader.u8("a")?, reader.u32("b")?, reader.text("c", 9)?.to_owned(), reader.bool("d")?);
            reader.finish("body").map(|()| all)
        };
        assert_eq!(read(&bytes).unwrap(), (1, 2, "hé".to_owned(), true));
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Err(WireError::Short { .. })), "prefix of {end} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(read(&longer), Err(WireError::Trailing { what: "body", extra: 1 }));
    }

    #[test]
    fn limits_and_values_are_checked() {
        assert_eq!(Writer::new(3).u32("a", 1).unwrap_err(), WireError::Limit { what: "a", have: 4, max: 3 });
        assert!(Writer::new(99).text("a", "abc", 2).is_err());
        assert!(matches!(Reader::new(&[3, 0, 1, 2, 3]).block("a", 2), Err(WireError::Limit { have: 3, .. })));
        assert!(matches!(Reader::new(&[1, 0, 0xFF]).text("a", 2), Err(WireError::Utf8 { .. })));
        assert!(matches!(Reader::new(&[2]).bool("a"), Err(WireError::Invalid { have: 2, .. })));
    }
}
