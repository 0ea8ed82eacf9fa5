//! The names of the rules that wake the Lambda: `curfew-STACK-SCHEDULE-ACTION-HASH`. Who keeps the rules writes them, and whom a bare
//! event of a rule wakes reads the schedule back.

use crate::schedule::ScheduleName;
use crate::timetable::Action;

/// EventBridge's limit, in bytes of the ASCII that a name consists of.
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html>
const LONGEST: usize = 64;

/// How long the hash in a name is, in hexadecimal digits. 24 bits: two of the at most 300 rules of a bus collide once in 370 buses
/// even if all had the same schedule and action, and a name has room for no more.
pub const HASH: usize = 6;

/// What the names of a stack's rules begin with, before a `-`; its other things are called by it too.
pub fn prefix(stack: &str) -> String {
    format!("curfew-{stack}")
}

/// The name of the rule of `stack` that wakes `schedule` for its edges of this `action`. `hash` stands for what the rule holds
/// besides. A schedule's name that would make it too long is cut, and ends in a `.`, which no schedule's name holds.
///
/// # Panics
///
/// When `stack` leaves no room for a schedule: it has at most 20 characters.
pub fn of_schedule(stack: &str, schedule: &ScheduleName, action: Action, hash: &str) -> String {
    let prefix = prefix(stack);
    let room = LONGEST - prefix.len() - action.to_string().len() - hash.len() - "---".len();
    let schedule = schedule.as_str();
    if schedule.len() <= room {
        format!("{prefix}-{schedule}-{action}-{hash}")
    } else {
        format!("{prefix}-{}.-{action}-{hash}", &schedule[..room - 1])
    }
}

/// The schedule that a rule of `stack` wakes, from the rule's name or ARN alone. `None` for the heartbeat, for a rule that isn't this
/// stack's, and where the schedule's name was cut: each means that the wake-up concerns every schedule.
///
/// ```
/// use curfew_core::rule_name::schedule_of;
///
/// let of = |rule| schedule_of(rule, "demo").map(|schedule| schedule.to_string());
/// assert_eq!(of("curfew-demo-office-hours-stop-3f2a9c").as_deref(), Some("office-hours"));
/// assert_eq!(of("arn:aws:events:eu-west-3:1:rule/curfew-demo-lab-start-00ff00").as_deref(), Some("lab"));
/// assert_eq!(of("curfew-demo-heartbeat-3f2a9c"), None);
/// ```
pub fn schedule_of(rule: &str, stack: &str) -> Option<ScheduleName> {
    let name = rule.rsplit('/').next()?;
    let rest = name.strip_prefix(&prefix(stack))?.strip_prefix('-')?;
    let (rest, hash) = rest.rsplit_once('-')?;
    let (schedule, action) = rest.rsplit_once('-')?;
    let hashed = hash.len() == HASH && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let acts = [Action::Start, Action::Stop]
        .iter()
        .any(|known| known.to_string() == action);
    (hashed && acts).then(|| schedule.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_schedule() {
        for schedule in ["office", "night-stop", "x", "heartbeat", "a-start", "A_b"] {
            let schedule: ScheduleName = schedule.parse().unwrap();
            for action in [Action::Start, Action::Stop] {
                let name = of_schedule("team-a", &schedule, action, "3f2a9c");
                assert_eq!(schedule_of(&name, "team-a"), Some(schedule.clone()));
                assert_eq!(schedule_of(&name, "team-b"), None);
            }
        }
    }

    #[test]
    fn the_longest_names_are_cut_and_then_wake_every_schedule() {
        let stack = "x".repeat(20);
        let schedule: ScheduleName = "s".repeat(32).parse().unwrap();
        let name = of_schedule(&stack, &schedule, Action::Start, "3f2a9c");
        assert_eq!(name.len(), LONGEST);
        assert_eq!(schedule_of(&name, &stack), None);
    }

    #[test]
    fn a_name_that_is_not_ours_names_no_schedule() {
        for other in [
            "every-minute",
            "curfew-demo-office-stop",
            "curfew-demo-office-stop-3f2a9",
            "curfew-demo-office-stop-3f2a9x",
            "curfew-demo-office-pause-3f2a9c",
            "curfew-demo--stop-3f2a9c",
            "",
        ] {
            assert_eq!(schedule_of(other, "demo"), None, "{other}");
        }
    }
}
