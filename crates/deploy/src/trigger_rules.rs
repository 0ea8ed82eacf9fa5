//! The EventBridge rules that a configuration needs.

use curfew_aws::clock::Clock;
use curfew_aws::rules::TriggerRule;
use curfew_config::Configuration;
use curfew_core::timetable::triggers;

/// Returns the rules that trigger the Lambda: one for each distinct UTC cron of the schedules' edges, and the heartbeat.
pub fn trigger_rules(configuration: &Configuration, clock: &Clock) -> Vec<TriggerRule> {
    let stack = &configuration.stack.name;
    let schedules: Vec<_> = configuration.schedule_set.schedules.values().collect();
    let timetables = schedules.iter().map(|schedule| &schedule.timetable);
    let edges = triggers(timetables, clock.now()).into_iter();
    let edges = edges.map(|trigger| {
        let names = trigger.timetables.into_iter();
        let names = names.map(|which| schedules[which].name.clone());
        TriggerRule::for_edges(stack, &trigger.expression, names.collect())
    });
    let heartbeat = configuration
        .stack
        .heartbeat
        .iter()
        .map(|rate| TriggerRule::heartbeat(stack, &rate.to_string()));
    edges.chain(heartbeat).collect()
}
