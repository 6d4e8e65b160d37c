//! Messages that hold another one, and say something of it.
//!
//! Where a message is at hand without its type, the table of the type that is to hold it says how: it knows both.

use crate::message::{Message, Vtable, vtable};
use crate::payload::Erased;
use std::any::Any;

/// A message that holds one of type `M`, and is answered as that is.
pub trait Holds<M: Message>: Message<Reply = M::Reply> {
    /// What it says of it.
    type Note: 'static;
    /// Makes one.
    fn hold(note: &Self::Note, message: M) -> Self;
}

/// How the messages of one type come to hold those of another.
#[derive(Debug)]
pub struct Holding {
    held: fn() -> &'static Vtable,
    hold: fn(&dyn Any, Erased) -> Result<Erased, Erased>,
}

fn hold<T: Holds<M>, M: Message>(note: &dyn Any, message: Erased) -> Result<Erased, Erased> {
    let Some(note) = note.downcast_ref::<T::Note>() else { return Err(message) };
    message.downcast::<M>().map(|message| Erased::new(T::hold(note, message)))
}

impl Holding {
    pub(crate) const fn of<T: Holds<M>, M: Message>() -> Self {
        Self { held: vtable::<M>, hold: hold::<T, M> }
    }

    /// The table of the messages that are held.
    #[must_use]
    pub fn held(&self) -> &'static Vtable {
        (self.held)()
    }

    /// Puts a message into one that holds it.
    ///
    /// # Errors
    /// Gives the message back if it is of another type, or the note is.
    pub fn hold(&self, note: &dyn Any, message: Erased) -> Result<Erased, Erased> {
        (self.hold)(note, message)
    }
}

#[cfg(test)]
mod tests {
    use super::Holds;
    use crate::message::{Message, Table, vtable};
    use crate::payload::Erased;

    #[derive(Debug, PartialEq, Eq)]
    struct Plain(u64);
    #[derive(Debug, PartialEq, Eq)]
    struct Noted(&'static str, Plain);

    impl Message for Plain {
        type Reply = u8;
        const TABLE: &'static Table<Self> = &const { Table::local() };
    }
    impl Message for Noted {
        type Reply = u8;
        const TABLE: &'static Table<Self> = &const { Table::holding::<Plain>() };
    }
    impl Holds<Plain> for Noted {
        type Note = &'static str;
        fn hold(note: &&'static str, message: Plain) -> Self {
            Self(note, message)
        }
    }

    #[test]
    fn a_message_without_its_type_is_put_into_another_one() {
        assert!(vtable::<Plain>().holding().is_none());
        let holding = vtable::<Noted>().holding().unwrap();
        assert!(holding.held().is::<Plain>());
        assert!(vtable::<Noted>().asked().is::<Plain>() && vtable::<Plain>().asked().is::<Plain>());
        let noted = holding.hold(&"a note", Erased::new(Plain(7))).unwrap();
        assert_eq!(noted.downcast::<Noted>().unwrap(), Noted("a note", Plain(7)));
        let other = holding.hold(&"a note", Erased::new(Noted("", Plain(1)))).unwrap_err();
        assert!(other.is::<Noted>(), "of another type, it comes back");
        let unnoted = holding.hold(&7_u8, Erased::new(Plain(2))).unwrap_err();
        assert_eq!(unnoted.downcast::<Plain>().unwrap(), Plain(2));
    }
}
