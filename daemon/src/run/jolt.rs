//! Time that does not flow: the machine was asleep, or its clock was set.
//!
//! What counts time since the boot knows nothing of the wall clock, and what counts time awake nothing of sleep: where they differ
//! from one look to the next, time made a jump, and whatever was to be waited for may be due already.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// How often the clocks are compared: a reading costs less than a microsecond.
const TICK: Duration = Duration::from_secs(1);

/// A jump from here on. Less is a clock that is being slewed, which an edge to the second does not notice.
const JUMP: SignedDuration = SignedDuration::from_secs(1);

/// A reading that took longer than this was interrupted, and its clocks can't be compared.
const INTERRUPTED: Duration = Duration::from_millis(100);

/// A jump that time made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jolt {
    /// The machine was suspended for so long.
    Slept(SignedDuration),
    /// The clock was set by so much; backward, where it is negative.
    Set(SignedDuration),
}

impl fmt::Display for Jolt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slept(time) => write!(f, "the machine slept for {} s", time.as_secs()),
            Self::Set(by) => write!(f, "the clock was set by {:+} s", by.as_secs()),
        }
    }
}

/// Time since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// All of it.
    pub total: Duration,
    /// Without the time asleep.
    pub awake: Duration,
}

/// Tells the time since the boot.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Uptime + Send + Sync>);

impl Stopwatch {
    /// The operating system's.
    pub fn system() -> Self {
        let read = |id| {
            let now = clock_gettime(id);
            let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
            Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
        };
        Self::telling(move || {
            // In this order nobody was ever awake for longer than there is to be.
            let awake = read(ClockId::Monotonic);
            let total = read(ClockId::Boottime);
            Uptime { total, awake }
        })
    }

    /// One that says what `tell` says.
    pub fn telling(tell: impl Fn() -> Uptime + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopwatch").field(&(self.0)()).finish()
    }
}

/// Compares the clocks, again and again.
#[derive(Debug)]
pub(super) struct Jolts {
    clock: Clock,
    stopwatch: Stopwatch,
    before: Option<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    uptime: Uptime,
}

impl Jolts {
    /// Watches this machine's own clock: what an answer of AWS puts right is no jump.
    pub(super) fn new(clock: &Clock, stopwatch: Stopwatch) -> Self {
        Self {
            clock: clock.uncorrected(),
            stopwatch,
            before: None,
        }
    }

    /// Waits for the next jump. Safe to drop at any moment: what happens meanwhile is found the next time.
    pub(super) async fn next(&mut self) -> Jolt {
        loop {
            if let Some(jolt) = self.look() {
                return jolt;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn look(&mut self) -> Option<Jolt> {
        let (begun, wall) = ((self.stopwatch.0)(), self.clock.now());
        let uptime = (self.stopwatch.0)();
        if uptime.total.saturating_sub(begun.total) > INTERRUPTED {
            return None;
        }
        let now = Reading { wall, uptime };
        let before = self.before.replace(now)?;
        let total = elapsed(before.uptime.total, now.uptime.total);
        let asleep = total - elapsed(before.uptime.awake, now.uptime.awake);
        let set = now.wall.duration_since(before.wall) - total;
        if set.abs() >= JUMP {
            Some(Jolt::Set(set))
        } else if asleep >= JUMP {
            Some(Jolt::Slept(asleep))
        } else {
            None
        }
    }
}

fn elapsed(from: Duration, to: Duration) -> SignedDuration {
    SignedDuration::try_from(to.saturating_sub(from)).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Clocks that are moved by hand, and flow with tokio's time.
    #[derive(Clone)]
    struct ByHand(Arc<Mutex<(SignedDuration, Duration)>>);

    impl ByHand {
        fn new() -> (Self, Jolts) {
            let hand = Self(Arc::new(Mutex::new((SignedDuration::ZERO, Duration::ZERO))));
            let begun = tokio::time::Instant::now();
            let start: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
            let (set, slept) = (hand.clone(), hand.clone());
            let clock = Clock::telling(move || {
                let (set, slept) = *set.0.lock().unwrap();
                start + begun.elapsed() + slept + set
            });
            let stopwatch = Stopwatch::telling(move || Uptime {
                total: begun.elapsed() + slept.0.lock().unwrap().1,
                awake: begun.elapsed(),
            });
            (hand, Jolts::new(&clock, stopwatch))
        }

        fn set(&self, by: SignedDuration) {
            self.0.lock().unwrap().0 += by;
        }

        fn sleep(&self, time: Duration) {
            self.0.lock().unwrap().1 += time;
        }
    }

    async fn quiet(jolts: &mut Jolts) {
        let next = tokio::time::timeout(Duration::from_mins(10), jolts.next());
        assert_eq!(next.await.ok(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_or_back_and_a_sleep_are_told_apart_and_told_once() {
        let (hand, mut jolts) = ByHand::new();
        quiet(&mut jolts).await;
        for by in [3600, -7200, 2] {
            hand.set(SignedDuration::from_secs(by));
            assert_eq!(jolts.next().await, Jolt::Set(SignedDuration::from_secs(by)));
            quiet(&mut jolts).await;
        }
        hand.sleep(Duration::from_hours(8));
        assert_eq!(
            jolts.next().await,
            Jolt::Slept(SignedDuration::from_hours(8))
        );
        quiet(&mut jolts).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_slewed_makes_no_jump() {
        let (hand, mut jolts) = ByHand::new();
        let slewing = async {
            for _ in 0..4000 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                hand.set(SignedDuration::from_micros(500));
            }
        };
        tokio::select! {
            jolt = jolts.next() => panic!("{jolt}"),
            () = slewing => {}
        }
    }

    #[test]
    fn the_system_s_stopwatch_runs() {
        let first = (Stopwatch::system().0)();
        let second = (Stopwatch::system().0)();
        assert!(first.awake > Duration::ZERO && first.awake <= first.total);
        assert!(second.total >= first.total);
    }
}
