//! The instants of requests and passes. They take the instants in the tags into account, so that a clock that is off never dates a
//! directive before an older one.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    LAST_TAG, LastApplied, OVERRIDE_TAG, Override, REQUEST_TAG, RecordedRequest, whole_second,
};

/// How far ahead of the present an instant in a tag may be, since the writer's clock may be fast. Later instants are errors: if they
/// were accepted, the instance would not be acted on until then. A longer limit delays the correction; with a shorter one, two hosts
/// whose clocks differ would overwrite each other's tags.
pub const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// The instant of a request at `now`, which is AWS's time: the later of `now` and one second after every instant in the resource's
/// tags, so that the request is the newest directive. The end of an override that is still ahead does not count. To the second, in UTC,
/// like all instants in tags.
///
/// ```
/// use std::collections::BTreeMap;
/// use curfew_core::state_tags::request_instant;
///
/// let applied_early = "2026-11-23T19:00:00Z stop schedule office".to_owned();
/// let tags = BTreeMap::from([("curfew:last".to_owned(), applied_early)]);
/// let now = "2026-11-23T18:59:40Z".parse()?;
/// assert_eq!(request_instant(&tags, now).to_string(), "2026-11-23T19:00:01Z");
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn request_instant(tags: &BTreeMap<String, String>, now: Timestamp) -> Timestamp {
    let known = TagInstants::of(tags);
    let over = known.until.filter(|until| *until <= now);
    let newest = known.plausible(now).chain(over).max();
    let after = newest.map(|at| at.saturating_add(SignedDuration::from_secs(1)));
    let after = after.and_then(Result::ok).unwrap_or(Timestamp::MIN);
    whole_second(now).max(whole_second(after))
}

/// The instant at which a pass decides about a resource: the latest of its `now` and all instants in the resource's tags except the
/// end of an override, so that no directive is in its future.
pub fn pass_instant(tags: &BTreeMap<String, String>, now: Timestamp) -> Timestamp {
    TagInstants::of(tags)
        .plausible(now)
        .fold(now, Timestamp::max)
}

/// The instants in a resource's tags; malformed tags are ignored.
struct TagInstants {
    directives: [Option<Timestamp>; 3],
    until: Option<Timestamp>,
}

impl TagInstants {
    fn of(tags: &BTreeMap<String, String>) -> Self {
        let tag = |key| tags.get(key).map(|value| value.trim());
        let last: Option<LastApplied> = tag(LAST_TAG).and_then(|value| value.parse().ok());
        let request: Option<RecordedRequest> =
            tag(REQUEST_TAG).and_then(|value| value.parse().ok());
        let override_: Option<Override> = tag(OVERRIDE_TAG).and_then(|value| value.parse().ok());
        Self {
            directives: [
                last.map(|last| last.at),
                request.map(|request| request.at),
                override_.as_ref().map(|override_| override_.since),
            ],
            until: override_.map(|override_| override_.end()),
        }
    }

    /// The instants of directives that are not too far ahead of `now`.
    fn plausible(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let believed = move |at: &Timestamp| at.duration_since(now) <= CLOCKS_APART;
        self.directives.into_iter().flatten().filter(believed)
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
        /// With any clocks, a request is newer than all earlier directives, and no pass decides before it.
        #[test]
        fn a_request_is_the_newest_directive_and_no_pass_is_before_it(
            now in 10_000_i64..20_000, last in 0_i64..20_000, request in 0_i64..20_000, since in 0_i64..20_000, until in 0_i64..20_000,
        ) {
            let tags = tags(last, request, since, until);
            let now = at(now);
            let person = request_instant(&tags, now);
            prop_assert!(person >= now);
            for instant in [last, request, since] {
                let ahead = at(instant).duration_since(now);
                prop_assert!(ahead > CLOCKS_APART || person > at(instant));
                prop_assert!(ahead > CLOCKS_APART || pass_instant(&tags, now) >= at(instant));
            }
            prop_assert!(at(until) > now || person > at(until));
        }
    }

    #[test]
    fn the_end_of_an_override_in_force_does_not_delay_a_request() {
        let now = at(10_000);
        let tags = tags(0, 0, 9_000, 12_000);
        assert_eq!(request_instant(&tags, now), now);
        assert_eq!(pass_instant(&tags, now), now);
        assert_eq!(request_instant(&tags, at(12_000)), at(12_001));
    }

    #[test]
    fn an_implausible_instant_delays_nothing() {
        let now = at(10_000);
        let far = 10_000 + CLOCKS_APART.as_secs() + 1;
        assert_eq!(request_instant(&tags(far, far, far, far + 1), now), now);
        assert_eq!(pass_instant(&tags(far, far, far, far + 1), now), now);
    }
}
