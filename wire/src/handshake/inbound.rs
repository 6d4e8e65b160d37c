//! Collects the bytes of one message at a time, within the budget of the handshake.
//!
//! Owns: the bytes of the message being read. Invariant: B1 never takes a byte beyond the message it waits for, so
//! what follows the last message is untouched.

use crate::handshake::Reason;
use crate::handshake::message::{MAX_HANDSHAKE_BYTES, PREFIX_BYTES, message_length};

#[derive(Debug, Default)]
pub(super) struct Inbound {
    message: Vec<u8>,
    total: usize,
}

impl Inbound {
    /// Moves bytes from the front of `input` until one message is whole; `None` if it needs more.
    pub(super) fn take(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, Reason> {
        self.fill(input, PREFIX_BYTES)?;
        let Some(prefix) = self.message.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = message_length(*prefix)?;
        self.fill(input, length)?;
        Ok((self.message.len() == length).then(|| std::mem::take(&mut self.message)))
    }

    fn fill(&mut self, input: &mut &[u8], target: usize) -> Result<(), Reason> {
        let need = target.saturating_sub(self.message.len()).min(input.len());
        let Some((head, tail)) = input.split_at_checked(need) else { return Ok(()) };
        self.total += need;
        // LIMIT: the budget of one handshake.
        if self.total > MAX_HANDSHAKE_BYTES {
            return Err(Reason::TooLarge);
        }
        self.message.extend_from_slice(head);
        *input = tail;
        Ok(())
    }
}
