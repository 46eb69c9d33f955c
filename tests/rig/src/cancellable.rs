//! Futures that are dropped half-way.

use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that ends without an answer at a given poll.
struct Cancellable<F> {
    fut: Pin<Box<F>>,
    polls_left: usize,
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls_left -= 1;
        match self.fut.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls_left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Drops the future of `call` after one poll, after two, and so on until it has
/// an answer; each time, `sound` looks at what was left behind.
pub async fn at_every_poll<T>(mut call: impl AsyncFnMut() -> T, mut sound: impl AsyncFnMut()) -> T {
    for polls_left in 1..1_000 {
        let fut = Box::pin(call());
        let output = Cancellable { fut, polls_left }.await;
        sound().await;
        if let Some(output) = output {
            return output;
        }
    }
    panic!("no answer after 1,000 polls");
}
