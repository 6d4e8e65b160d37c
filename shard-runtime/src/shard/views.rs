//! Messages and their views: what arrives in one form and is handled in the other.
//!
//! A message of another node that is handled as a view was made one when it was received (`link/receive.rs`). What is left for
//! here is a message of this node, or one of an earlier version, for a handler that takes a view; and a view that somebody
//! handed on to a handler that takes the message.
#![expect(
    unsafe_code,
    reason = "a message changes its form in its envelope; proven by each_form_reaches_each_handler"
)]

use crate::mailbox::EnvelopePtr;
use crate::shard::{LogLevel, Shard};
use shard_wire::{Erased, Vtable};

impl Shard {
    /// The message types of a process here that takes some as views; none if it does not.
    #[inline]
    pub(crate) fn views_of(&self, local: u64) -> &'static [&'static Vtable] {
        self.table.record(local as u32).views()
    }

    /// Gives the message in an envelope its other form, if that is one of these types. `false`: it stays as it is.
    #[cold]
    pub(crate) fn to_form_of(&self, envelope: EnvelopePtr, types: &[&'static Vtable]) -> bool {
        let Some(other) = envelope.vtable().other_form() else { return false };
        let Some(own) = types.iter().find(|own| own.type_id() == other.type_id()) else { return false };
        // SAFETY: E3: a filled envelope holds a live payload. It is put back below, this one or the other: nothing in
        // between unwinds.
        let payload = unsafe { envelope.payload().read() };
        // SAFETY: E3: it is of the type that the envelope's table describes.
        let message = unsafe { Erased::from_parts(envelope.vtable(), payload) };
        // Out of its place while the value is serialised, which may be the user's code.
        let mut pool = self.views.take().unwrap_or_default();
        let mut made = None;
        self.contain(|| made = Some(message.to_other_form(&mut pool)));
        self.views.replace(Some(pool));
        let failed = match made {
            Some(Ok(form)) => {
                let (_, payload) = form.into_parts();
                // SAFETY: E1, E2: the payload there was taken out above; this one is of the type of `own`.
                unsafe { envelope.payload().write(payload) };
                envelope.set_vtable(own);
                self.contain(|| drop(message));
                return true;
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        let (vtable, payload) = message.into_parts();
        // SAFETY: E1, E2: what was taken out above goes back to where it was.
        unsafe { envelope.payload().write(payload) };
        if let Some(error) = failed {
            self.log_line(LogLevel::Warning, self.current_id.get(), || {
                format!(
                    "a {} does not reach its handler, which takes a {}: {error}",
                    vtable.type_name(),
                    own.type_name()
                )
            });
        }
        false
    }
}
