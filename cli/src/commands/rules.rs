//! `curfew rules`: the part of a deployment that changes with the schedules, for other deployment tools (docs/how-to/other-tools.md).
//! Makes no calls.

use curfew_aws::rules::TriggerRule;
use curfew_core::schedule::ScheduleName;
use curfew_core::stack_name::StackName;
use curfew_deploy::trigger_rules;
use serde::Serialize;

use crate::output::or_dash;
use crate::table::Table;
use crate::{CliError, Context};

/// The rules of a stack. Scripts rely on the JSON form.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct RulesDocument {
    /// The stack's name.
    stack: StackName,
    /// The name of the Lambda that the rules invoke.
    function: String,
    /// The rules of the schedules and the heartbeat.
    rules: Vec<RuleDefinition>,
}

/// An EventBridge rule, with the field names of EventBridge.
#[derive(Serialize, schemars::JsonSchema)]
struct RuleDefinition {
    /// The name, which ends in a hash of the content.
    name: String,
    /// The schedule expression, in UTC.
    expression: String,
    /// The state of the rule: always `ENABLED`.
    state: &'static str,
    /// The description of the rule, which marks it as Curfew's.
    description: String,
    /// The target of the rule: the Lambda.
    target: Target,
    /// The schedules that need this rule, for information. Empty for the heartbeat.
    schedules: Vec<ScheduleName>,
}

/// The target of a rule.
#[derive(Serialize, schemars::JsonSchema)]
struct Target {
    /// The target's id within the rule.
    id: &'static str,
    /// The constant input of the invocation, as JSON text.
    input: String,
}

pub(crate) fn rules(context: &mut Context) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let stack = configuration.stack.name.clone();
    let wanted = trigger_rules(&configuration, &context.clock);
    let rules = wanted.iter().map(|rule| RuleDefinition::of(rule, &stack));
    let triggers = RulesDocument {
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
        Table::of_text(&["rule", "when (utc)", "schedules"], rows)
    })
}

/// Lists the first names and the number of further ones.
fn schedules(names: &[ScheduleName]) -> String {
    const NAMED: usize = 4;
    let mut words: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    if names.len() > NAMED {
        words.push(format!("and {} more", names.len() - NAMED));
    }
    or_dash((!words.is_empty()).then(|| words.join(", ")))
}

impl RuleDefinition {
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
