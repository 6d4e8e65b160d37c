//! Bodies: how a request's is collected, and what a response's may be.

use crate::io::web::progress::Turn;
use crate::io::web::sse::Feed;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response.
pub(super) struct WebBody {
    content: Content,
    /// The request is under way until this is written.
    turn: Option<Turn>,
}

enum Content {
    Whole(Option<Bytes>),
    /// Events, as they come.
    Feed(Feed),
}

impl WebBody {
    pub(super) fn events(feed: Feed) -> Self {
        Self { content: Content::Feed(feed), turn: None }
    }

    /// Keeps the request under way until this is written.
    pub(super) fn keep(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }
}

impl From<Bytes> for WebBody {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Whole((!bytes.is_empty()).then_some(bytes)), turn: None }
    }
}

impl Body for WebBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.get_mut().content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Feed(feed) => {
                feed.poll_next(task).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Feed(_) => SizeHint::default(),
        }
    }
}

/// Why a request's body was not collected.
pub(super) enum BadBody {
    TooLong,
    Broken,
    /// It took too long to come.
    Late,
}

/// Collects the body of a request. `come` is how much of it has come.
pub(super) async fn collect(mut body: Incoming, limit: usize, come: &Cell<usize>) -> Result<Bytes, BadBody> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BadBody::TooLong);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await {
            None if rest.is_empty() => return Ok(first),
            None => return Ok(rest.freeze()),
            Some(Err(_)) => return Err(BadBody::Broken),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if come.get() + data.len() > limit {
            return Err(BadBody::TooLong);
        }
        come.set(come.get() + data.len());
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
}
