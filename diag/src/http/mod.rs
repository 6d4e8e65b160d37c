//! The listeners: who may ask (`guard`), what is where (`site`), and the limits of a connection (`server`).

mod guard;
mod listen;
mod server;
mod site;

pub(crate) use guard::{Guard, check_token};
pub(crate) use listen::{Listener, bind_all};
pub(crate) use server::serve;
pub(crate) use site::Site;
