//! Which instant a person's word and a pass have, so that no clock that is off puts a word before one that is older.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{LAST_TAG, Last, OVERRIDE_TAG, Override, REQUEST_TAG, Requested, whole_second};

/// How far ahead of the present an instant in a tag may be: the clock that it was taken from may run fast. Beyond that it is an
/// error, which believed would leave the instance alone until then. Longer delays its mending; shorter would let two clocks
/// that disagree rewrite each other's memory.
pub const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// The instant of a word that a person says at `now`, which is AWS's time: the later of that and one second after every
/// instant in the resource's tags, so that it is newer than everything which was known when it was said. An override's end
/// that is still ahead is no such instant. To the second, in UTC, like everything in tags.
///
/// ```
/// use std::collections::BTreeMap;
/// use curfew_core::memory::instant_of_person;
///
/// let applied_early = "2026-11-23T19:00:00Z stop schedule office".to_owned();
/// let tags = BTreeMap::from([("curfew:last".to_owned(), applied_early)]);
/// let now = "2026-11-23T18:59:40Z".parse()?;
/// assert_eq!(instant_of_person(&tags, now).to_string(), "2026-11-23T19:00:01Z");
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn instant_of_person(tags: &BTreeMap<String, String>, now: Timestamp) -> Timestamp {
    let known = Known::of(tags);
    let over = known.until.filter(|until| *until <= now);
    let newest = known.words(now).chain(over).max();
    let after = newest.map(|at| at.saturating_add(SignedDuration::from_secs(1)));
    let after = after.and_then(Result::ok).unwrap_or(Timestamp::MIN);
    whole_second(now).max(whole_second(after))
}

/// The instant at which a pass decides about a resource: the later of its own `now` and every instant in the resource's tags
/// but an override's end, so that no word is in its future.
pub fn instant_of_pass(tags: &BTreeMap<String, String>, now: Timestamp) -> Timestamp {
    Known::of(tags).words(now).fold(now, Timestamp::max)
}

/// The instants in a resource's tags, as far as they can be read.
struct Known {
    words: [Option<Timestamp>; 3],
    until: Option<Timestamp>,
}

impl Known {
    fn of(tags: &BTreeMap<String, String>) -> Self {
        let tag = |key| tags.get(key).map(|value| value.trim());
        let last: Option<Last> = tag(LAST_TAG).and_then(|value| value.parse().ok());
        let request: Option<Requested> = tag(REQUEST_TAG).and_then(|value| value.parse().ok());
        let override_: Option<Override> = tag(OVERRIDE_TAG).and_then(|value| value.parse().ok());
        Self {
            words: [
                last.map(|last| last.at),
                request.map(|request| request.at),
                override_.as_ref().map(|override_| override_.since),
            ],
            until: override_.map(|override_| override_.end()),
        }
    }

    /// The instants of words that can be believed at `now`.
    fn words(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let believed = move |at: &Timestamp| at.duration_since(now) <= CLOCKS_APART;
        self.words.into_iter().flatten().filter(believed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tags(last: i64, request: i64, since: i64, until: i64) -> BTreeMap<String, String> {
        let (last, request) = (at(last), at(request));
        let (since, until) = (at(since), at(until));
        BTreeMap::from([
            (LAST_TAG.to_owned(), format!("{last} stop schedule office")),
            (REQUEST_TAG.to_owned(), format!("{request} start by alice")),
            (
                OVERRIDE_TAG.to_owned(),
                format!("running since {since} until {until} by bob"),
            ),
        ])
    }

    proptest! {
        /// Whatever the clocks say, a word is newer than all that was said before, and no pass decides before it.
        #[test]
        fn a_word_is_the_newest_and_no_pass_is_before_it(
            now in 10_000_i64..20_000, last in 0_i64..20_000, request in 0_i64..20_000, since in 0_i64..20_000, until in 0_i64..20_000,
        ) {
            let tags = tags(last, request, since, until);
            let now = at(now);
            let person = instant_of_person(&tags, now);
            prop_assert!(person >= now);
            for word in [last, request, since] {
                let ahead = at(word).duration_since(now);
                prop_assert!(ahead > CLOCKS_APART || person > at(word));
                prop_assert!(ahead > CLOCKS_APART || instant_of_pass(&tags, now) >= at(word));
            }
            prop_assert!(at(until) > now || person > at(until));
        }
    }

    #[test]
    fn an_end_that_is_still_ahead_does_not_put_off_what_a_person_says() {
        let now = at(10_000);
        let tags = tags(0, 0, 9_000, 12_000);
        assert_eq!(instant_of_person(&tags, now), now);
        assert_eq!(instant_of_pass(&tags, now), now);
        assert_eq!(instant_of_person(&tags, at(12_000)), at(12_001));
    }

    #[test]
    fn an_instant_that_cant_be_right_puts_nothing_off() {
        let now = at(10_000);
        let far = 10_000 + CLOCKS_APART.as_secs() + 1;
        assert_eq!(instant_of_person(&tags(far, far, far, far + 1), now), now);
        assert_eq!(instant_of_pass(&tags(far, far, far, far + 1), now), now);
    }
}
