//! Clock jumps: the machine was suspended, or its clock was set.
//!
//! The boot clock does not depend on the wall clock, and the clock of awake time does not advance during sleep: if their
//! differences change from one reading to the next, the clock jumped, and due times may be past already.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

use crate::metrics::Metrics;

/// The interval between readings: each costs less than a microsecond.
const TICK: Duration = Duration::from_secs(1);

/// The smallest jump. A smaller difference is a clock that is being slewed, which edges with a resolution of one second don't
/// notice.
const JUMP: SignedDuration = SignedDuration::from_secs(1);

/// A reading that took longer than this was interrupted, and its clocks can't be compared.
const INTERRUPTED: Duration = Duration::from_millis(100);

/// A jump of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockJump {
    /// The machine was suspended for this long.
    Suspended(SignedDuration),
    /// The clock was set forward by this much; backward if negative.
    Stepped(SignedDuration),
}

impl fmt::Display for ClockJump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended(time) => write!(f, "the machine slept for {} s", time.as_secs()),
            Self::Stepped(by) => write!(f, "the clock was set by {:+} s", by.as_secs()),
        }
    }
}

impl ClockJump {
    /// Counts the jump and logs it.
    pub(crate) fn log(self, metrics: &Metrics) {
        metrics.clock_jumped();
        warn!(jump = %self, "clock jump detected; reconciling now");
    }
}

/// The time since the boot, in two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootTime {
    /// Includes suspended time.
    pub total: Duration,
    /// Excludes suspended time.
    pub awake: Duration,
}

/// A source of [`BootTime`].
#[derive(Clone)]
pub struct BootClock(Arc<dyn Fn() -> BootTime + Send + Sync>);

impl BootClock {
    /// Reads the clocks of the operating system.
    pub fn system() -> Self {
        let read = |id| {
            let now = clock_gettime(id);
            let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
            Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
        };
        Self::telling(move || {
            // In this order, the awake time never exceeds the time since boot.
            let awake = read(ClockId::Monotonic);
            let total = read(ClockId::Boottime);
            BootTime { total, awake }
        })
    }

    /// Returns a clock that reads `read`, for tests.
    pub fn telling(tell: impl Fn() -> BootTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for BootClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BootClock").field(&(self.0)()).finish()
    }
}

/// Detects clock jumps by comparing the clocks at intervals.
#[derive(Debug)]
pub(crate) struct ClockJumpDetector {
    clock: Clock,
    boot_clock: BootClock,
    before: Option<ClockReading>,
}

#[derive(Clone, Copy, Debug)]
struct ClockReading {
    wall: Timestamp,
    uptime: BootTime,
}

impl ClockJumpDetector {
    /// Watches this machine's own clock: the correction by the `Date` of AWS's responses is no jump.
    pub(crate) fn new(clock: &Clock, boot_clock: BootClock) -> Self {
        Self {
            clock: clock.uncorrected(),
            boot_clock,
            before: None,
        }
    }

    /// Waits for the next jump. Cancel-safe: the next call finds what happened meanwhile.
    pub(crate) async fn next(&mut self) -> ClockJump {
        loop {
            if let Some(jump) = self.detect() {
                return jump;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn detect(&mut self) -> Option<ClockJump> {
        let (begun, wall) = ((self.boot_clock.0)(), self.clock.now());
        let uptime = (self.boot_clock.0)();
        if uptime.total.saturating_sub(begun.total) > INTERRUPTED {
            return None;
        }
        let now = ClockReading { wall, uptime };
        let before = self.before.replace(now)?;
        let total = elapsed(before.uptime.total, now.uptime.total);
        let asleep = total - elapsed(before.uptime.awake, now.uptime.awake);
        let set = now.wall.duration_since(before.wall) - total;
        if set.abs() >= JUMP {
            Some(ClockJump::Stepped(set))
        } else if asleep >= JUMP {
            Some(ClockJump::Suspended(asleep))
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

    /// Clocks that a test moves, and that follow tokio's time otherwise.
    #[derive(Clone)]
    struct ManualClocks(Arc<Mutex<(SignedDuration, Duration)>>);

    impl ManualClocks {
        fn new() -> (Self, ClockJumpDetector) {
            let hand = Self(Arc::new(Mutex::new((SignedDuration::ZERO, Duration::ZERO))));
            let begun = tokio::time::Instant::now();
            let start: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
            let (set, slept) = (hand.clone(), hand.clone());
            let clock = Clock::telling(move || {
                let (set, slept) = *set.0.lock().unwrap();
                start + begun.elapsed() + slept + set
            });
            let boot_clock = BootClock::telling(move || BootTime {
                total: begun.elapsed() + slept.0.lock().unwrap().1,
                awake: begun.elapsed(),
            });
            (hand, ClockJumpDetector::new(&clock, boot_clock))
        }

        fn set(&self, by: SignedDuration) {
            self.0.lock().unwrap().0 += by;
        }

        fn sleep(&self, time: Duration) {
            self.0.lock().unwrap().1 += time;
        }
    }

    async fn quiet(detector: &mut ClockJumpDetector) {
        let next = tokio::time::timeout(Duration::from_mins(10), detector.next());
        assert_eq!(next.await.ok(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_clock_and_a_suspension_are_distinguished_and_reported_once() {
        let (hand, mut detector) = ManualClocks::new();
        quiet(&mut detector).await;
        for by in [3600, -7200, 2] {
            hand.set(SignedDuration::from_secs(by));
            assert_eq!(
                detector.next().await,
                ClockJump::Stepped(SignedDuration::from_secs(by))
            );
            quiet(&mut detector).await;
        }
        hand.sleep(Duration::from_hours(8));
        assert_eq!(
            detector.next().await,
            ClockJump::Suspended(SignedDuration::from_hours(8))
        );
        quiet(&mut detector).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slewed_clock_is_no_jump() {
        let (hand, mut detector) = ManualClocks::new();
        let slewing = async {
            for _ in 0..4000 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                hand.set(SignedDuration::from_micros(500));
            }
        };
        tokio::select! {
            jump = detector.next() => panic!("{jump}"),
            () = slewing => {}
        }
    }

    #[test]
    fn the_system_s_boot_clock_runs() {
        let first = (BootClock::system().0)();
        let second = (BootClock::system().0)();
        assert!(first.awake > Duration::ZERO && first.awake <= first.total);
        assert!(second.total >= first.total);
    }
}
