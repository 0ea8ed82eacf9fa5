//! Doing several things at once, and not too many.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Works through `work` with at most `bound` of it under way, and returns what each came to, in the order given.
///
/// Nothing is spawned: what is under way may borrow, and ends when this is dropped. The iterator is gone before anything begins,
/// since a closure in it would keep the whole from being sent to another thread.
pub fn side_by_side<F: Future, I: IntoIterator<Item = F>>(
    work: I,
    bound: usize,
) -> impl Future<Output = Vec<F::Output>> + use<F, I> {
    let waiting: Vec<F> = work.into_iter().collect();
    in_order(waiting, bound)
}

async fn in_order<F: Future>(waiting: Vec<F>, bound: usize) -> Vec<F::Output> {
    let mut waiting = waiting.into_iter().enumerate();
    let mut under_way: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut done: Vec<(usize, F::Output)> = Vec::new();
    loop {
        let free = bound.max(1) - under_way.len();
        let next = waiting.by_ref().take(free);
        under_way.extend(next.map(|(at, work)| (at, Box::pin(work))));
        if under_way.is_empty() {
            break;
        }
        // A waker does not tell which future woke it, so all of the few are polled.
        let some = poll_fn(|context| {
            let mut finished = Vec::new();
            under_way.retain_mut(|(at, work)| match work.as_mut().poll(context) {
                Poll::Ready(output) => {
                    finished.push((*at, output));
                    false
                }
                Poll::Pending => true,
            });
            if finished.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(finished)
            }
        });
        done.extend(some.await);
    }
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_bound_is_under_way_and_the_order_stays() {
        let (busy, most) = (Cell::new(0), Cell::new(0));
        let begun = Instant::now();
        let work = (0..10_u64).map(|number| {
            let (busy, most) = (&busy, &most);
            async move {
                busy.set(busy.get() + 1);
                most.set(most.get().max(busy.get()));
                // The first takes longest.
                sleep(Duration::from_secs(10 - number)).await;
                busy.set(busy.get() - 1);
                number
            }
        });
        let done = side_by_side(work, 4).await;
        assert_eq!(done, (0..10).collect::<Vec<_>>());
        assert_eq!(most.get(), 4);
        // 55 seconds of work by four at a time.
        assert!(
            begun.elapsed() < Duration::from_secs(18),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test]
    async fn nothing_to_do_is_done_at_once() {
        let none: Vec<std::future::Ready<u8>> = Vec::new();
        assert!(side_by_side(none, 4).await.is_empty());
    }
}
