//! What one end of a link tells the other about what it has taken: the body of credit frames and of the first frame of a
//! link, in a fixed, versioned layout.
//!
//! ```text
//! version u64 · data u64 · signal u64 · limit u64 · clock ms u64 · reserved u64
//! ```

use crate::WireError;
use crate::cursor::Reader;

/// Length of a report in bytes. A newer version may be longer.
pub const REPORT_BYTES: usize = 48;
const VERSION: u64 = 1;

/// What has been taken since the session began. All numbers only grow, so the last report says everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Frames of the data lane.
    pub data: u64,
    /// Frames of the signal lane.
    pub signal: u64,
    /// Bytes of data frames that may be sent, those that were taken included.
    pub limit: u64,
    /// The sender's clock of this link, in milliseconds: deadlines in its frames count on it.
    pub clock_ms: u64,
}

impl Report {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; REPORT_BYTES] {
        let words = [VERSION, self.data, self.signal, self.limit, self.clock_ms, 0];
        let mut bytes = [0; REPORT_BYTES];
        for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// Reads a report, also one of a newer version, of which it takes what it knows.
    ///
    /// # Errors
    /// [`WireError::Short`] or [`WireError::Invalid`].
    pub fn from_bytes(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let version = reader.u64("version of a report")?;
        if version < VERSION {
            return Err(WireError::Invalid { what: "version of a report", offset: 0, have: version });
        }
        Ok(Self {
            data: reader.u64("frames of data")?,
            signal: reader.u64("frames of signals")?,
            limit: reader.u64("limit of data")?,
            clock_ms: reader.u64("clock of a link")?,
        })
    }
}
