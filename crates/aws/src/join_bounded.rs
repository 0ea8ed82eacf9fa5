//! Runs futures concurrently, up to a bound.

use futures_util::{FutureExt as _, StreamExt as _, stream};

/// Runs `work` with at most `bound` futures in flight, and returns their outputs in the order given.
///
/// Nothing is spawned: the futures may borrow, and end when this is dropped. `buffered` would keep the order too, but counts outputs
/// that wait for an earlier one as in flight, so that one slow account-region would hold up the others; hence `buffer_unordered`, and a
/// sort at the end. The iterator is consumed before the first poll, since a closure in it would make the returned future not `Send`.
pub fn join_bounded<F: Future, I: IntoIterator<Item = F>>(
    work: I,
    bound: usize,
) -> impl Future<Output = Vec<F::Output>> + use<F, I> {
    let work: Vec<F> = work.into_iter().collect();
    async move {
        let numbered = work.into_iter().enumerate();
        let numbered = numbered.map(|(at, work)| work.map(move |output| (at, output)));
        let in_flight = stream::iter(numbered).buffer_unordered(bound.max(1));
        let mut outputs: Vec<(usize, F::Output)> = in_flight.collect().await;
        outputs.sort_unstable_by_key(|(at, _)| *at);
        outputs.into_iter().map(|(_, output)| output).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_bound_is_kept_and_the_order_preserved() {
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
        let done = join_bounded(work, 4).await;
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
    async fn no_work_completes_at_once() {
        let none: Vec<std::future::Ready<u8>> = Vec::new();
        assert!(join_bounded(none, 4).await.is_empty());
    }
}
