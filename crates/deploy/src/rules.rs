//! Which rules a deployment's schedules need.

use curfew_aws::clock::Clock;
use curfew_aws::rules::WakeUpRule;
use curfew_config::Settings;
use curfew_core::timetable::wake_ups;

/// The rules that wake the Lambda for the edges of all schedules, one for each distinct UTC cron, and for the heartbeat.
pub fn wake_up_rules(settings: &Settings, clock: &Clock) -> Vec<WakeUpRule> {
    let stack = &settings.stack.name;
    let schedules: Vec<_> = settings.governance.schedules.values().collect();
    let timetables = schedules.iter().map(|schedule| &schedule.timetable);
    let edges = wake_ups(timetables, clock.now()).into_iter();
    let edges = edges.map(|wake_up| {
        let whose = wake_up.timetables.into_iter();
        let whose = whose.map(|which| schedules[which].name.clone());
        WakeUpRule::for_edges(stack, &wake_up.expression, whose.collect())
    });
    let heartbeat = settings
        .stack
        .heartbeat
        .iter()
        .map(|rate| WakeUpRule::heartbeat(stack, &rate.to_string()));
    edges.chain(heartbeat).collect()
}
