//! A call to a worker, awaited by the task of a connection.

use crate::error::CallError;
use crate::io::IoTarget;
use crate::io::web::message::{WebRequest, WebResponse};
use crate::shard::Shard;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

#[derive(Default)]
struct Answer {
    value: RefCell<Option<Result<WebResponse, CallError>>>,
    waker: Cell<Option<Waker>>,
}

/// Calls a worker. If the future is dropped, the answer is dropped when it comes.
pub(super) fn call(
    shard: &Shard,
    target: &IoTarget,
    request: WebRequest,
    timeout: Duration,
) -> impl Future<Output = Result<WebResponse, CallError>> + use<> {
    let answer = Rc::new(Answer::default());
    let put = Rc::clone(&answer);
    shard.call_with_callback(target.0.route(), request, timeout, move |result| {
        put.value.replace(Some(result));
        if let Some(waker) = put.waker.take() {
            waker.wake();
        }
    });
    poll_fn(move |task| match answer.value.take() {
        Some(result) => Poll::Ready(result),
        None => {
            answer.waker.set(Some(task.waker().clone()));
            Poll::Pending
        }
    })
}
