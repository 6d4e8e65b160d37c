//! Where a panic happened: what its message does not say.
//!
//! Process-wide: one hook, chained in front of the one that was there, which goes on printing. Invariant: H1 a thread's place
//! is that of its last panic; whoever catches a panic takes it. Cost: a text per panic, nothing else.

use std::cell::RefCell;
use std::sync::Once;

static INSTALLED: Once = Once::new();

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has the places of panics remembered from now on.
pub(super) fn remember_places() {
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string);
            // A thread that is ending has nowhere to keep it, and nobody there will ask.
            let _kept = PLACE.try_with(|kept| {
                if let Ok(mut kept) = kept.try_borrow_mut() {
                    *kept = place;
                }
            });
            before(panic);
        }));
    });
}

/// File, line and column of the panic that was just caught on this thread.
pub(crate) fn take_place() -> Option<String> {
    PLACE.take()
}
