//! Which rules a deployment's schedules need.

use curfew_aws::clock::Clock;
use curfew_aws::rules::TriggerRule;
use curfew_config::Configuration;
use curfew_core::timetable::triggers;

/// The rules that wake the Lambda for the edges of all schedules, one for each distinct UTC cron, and for the heartbeat.
pub fn trigger_rules(configuration: &Configuration, clock: &Clock) -> Vec<TriggerRule> {
    let stack = &configuration.stack.name;
    let schedules: Vec<_> = configuration.schedule_set.schedules.values().collect();
    let timetables = schedules.iter().map(|schedule| &schedule.timetable);
    let edges = triggers(timetables, clock.now()).into_iter();
    let edges = edges.map(|trigger| {
        let whose = trigger.timetables.into_iter();
        let whose = whose.map(|which| schedules[which].name.clone());
        TriggerRule::for_edges(stack, &trigger.expression, whose.collect())
    });
    let heartbeat = configuration
        .stack
        .heartbeat
        .iter()
        .map(|rate| TriggerRule::heartbeat(stack, &rate.to_string()));
    edges.chain(heartbeat).collect()
}
