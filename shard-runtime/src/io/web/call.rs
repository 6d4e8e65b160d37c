//! A call to a worker, awaited by the task of a connection.

use crate::error::CallError;
use crate::io::web::message::{WebRequest, WebResponse};
use crate::io::web::route::WebHandler;
use crate::shard::Shard;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Answer {
    value: RefCell<Option<Result<WebResponse, CallError>>>,
    waker: Cell<Option<Waker>>,
}

/// Calls the worker whose turn it is, or the next one that takes the request. If the future is dropped, the answer is dropped
/// when it comes.
pub(super) fn call(
    shard: &Shard,
    handler: &WebHandler,
    index: usize,
    request: WebRequest,
) -> impl Future<Output = Result<WebResponse, CallError>> + use<> {
    let answer = Rc::new(Answer::default());
    let put = Rc::clone(&answer);
    let first = index % handler.targets.len().max(1);
    let (before, from) = handler.targets.split_at(first);
    let routes = from.iter().chain(before).map(|target| target.0.route());
    shard.call_first_with_callback(routes, request, handler.timeout, move |result| {
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
