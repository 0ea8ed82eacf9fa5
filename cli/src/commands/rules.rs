//! `curfew rules`: of a deployment what changes with the schedules, for those who deploy by other means (docs/cloudformation.md). Calls
//! nothing.

use curfew_aws::rules::TriggerRule;
use curfew_core::schedule::ScheduleName;
use curfew_core::stack_name::StackName;
use curfew_deploy::trigger_rules;
use serde::Serialize;

use crate::output::{or_dash, table};
use crate::{CliError, Context};

/// As JSON it is a contract with scripts.
#[derive(Serialize)]
struct TriggerRules {
    stack: StackName,
    /// The name of the Lambda that every rule wakes.
    function: String,
    rules: Vec<Rule>,
}

/// One EventBridge rule, in EventBridge's words.
#[derive(Serialize)]
struct Rule {
    /// Ends in a hash of the content: a rule with other content has another name.
    name: String,
    /// In UTC.
    expression: String,
    state: &'static str,
    description: String,
    target: Target,
    /// The schedules whose edges these are, for people; none for the heartbeat.
    schedules: Vec<ScheduleName>,
}

#[derive(Serialize)]
struct Target {
    id: &'static str,
    /// The constant input, JSON as text.
    input: String,
}

pub(crate) fn rules(context: &mut Context) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let stack = configuration.stack.name.clone();
    let wanted = trigger_rules(&configuration, &context.clock);
    let rules = wanted.iter().map(|rule| Rule::of(rule, &stack));
    let triggers = TriggerRules {
        function: stack.prefix(),
        rules: rules.collect(),
        stack,
    };
    context.output.print(&triggers, |triggers| {
        let rows = triggers.rules.iter().map(|rule| {
            vec![
                rule.name.clone(),
                rule.expression.clone(),
                schedules(&rule.schedules),
            ]
        });
        table(&["rule", "when (utc)", "schedules"], rows)
    })
}

/// A few names; how many more there are.
fn schedules(names: &[ScheduleName]) -> String {
    const NAMED: usize = 4;
    let mut words: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    if names.len() > NAMED {
        words.push(format!("and {} more", names.len() - NAMED));
    }
    or_dash((!words.is_empty()).then(|| words.join(", ")))
}

impl Rule {
    fn of(rule: &TriggerRule, stack: &StackName) -> Self {
        Self {
            name: rule.name.clone(),
            expression: rule.expression.clone(),
            state: "ENABLED",
            description: TriggerRule::description(stack),
            target: Target {
                id: TriggerRule::TARGET,
                input: rule.input().to_owned(),
            },
            schedules: rule.schedules.clone(),
        }
    }
}
