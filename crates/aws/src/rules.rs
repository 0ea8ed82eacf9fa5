//! The EventBridge rules that trigger the Lambda: the difference between the desired and the existing rules, and the calls
//! that apply it.
//!
//! Rules are immutable: a rule's name ends in a hash of its content, so a changed schedule is a new rule and the old one is
//! deleted (LocalStack can't update rules). The times of the rules are computed elsewhere.

mod name;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{RuleState, Target};
use curfew_core::schedule::ScheduleName;
use curfew_core::stack_name::StackName;
use serde::Serialize;
use serde_json::json;

use crate::error::{CloudError, CloudErrorKind};
use crate::pages::PageTokens;

/// A desired rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TriggerRule {
    /// The name: `curfew-STACK-edges-HASH` or `curfew-STACK-heartbeat-HASH`.
    pub name: String,
    /// EventBridge's schedule expression, in UTC.
    pub expression: String,
    /// The schedules with these edges, for display; none for the heartbeat.
    pub schedules: Vec<ScheduleName>,
    /// The constant input of the invocation, as JSON text.
    input: String,
}

impl TriggerRule {
    /// The id of the rule's only target, the Lambda.
    pub const TARGET: &'static str = "curfew";

    /// The number of rules from which `curfew check` warns: a bus allows 300 unless AWS has raised the quota, other
    /// applications use it too, and raising it takes days.
    pub const MANY: usize = 200;

    /// The rule that fires at this UTC cron for the edges of `schedules`. Its input has the cron, from which the Lambda
    /// computes the minute of the trigger.
    pub fn for_edges(stack: &StackName, expression: &str, schedules: Vec<ScheduleName>) -> Self {
        let input = json!({ "command": "wake", "cron": expression }).to_string();
        Self {
            name: name::of_edges(stack, &content(expression, &input)),
            expression: expression.to_owned(),
            schedules,
            input,
        }
    }

    /// The rule of the heartbeat, which bounds every delay, for example with `rate(5 minutes)`.
    pub fn heartbeat(stack: &StackName, expression: &str) -> Self {
        let input = json!({ "command": "wake" }).to_string();
        Self {
            name: name::of_heartbeat(stack, &content(expression, &input)),
            expression: expression.to_owned(),
            schedules: Vec::new(),
            input,
        }
    }

    /// The event with which the rule invokes the Lambda.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The description of all rules of a stack. It identifies a rule that has lost its target: names don't, since those of
    /// the stacks `a` and `a-b` have a common prefix.
    pub fn description(stack: &StackName) -> String {
        format!("Wakes the Curfew stack {stack}; made and removed by curfew")
    }
}

fn content(expression: &str, input: &str) -> String {
    format!("{expression}\n{input}")
}

/// An existing rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingRule {
    /// The name, with the prefix of the stack's rules.
    pub name: String,
    /// The schedule expression; none if the rule matches events.
    pub expression: Option<String>,
    /// The rule's targets.
    pub wakes: Wakes,
}

/// The targets of an existing rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// The stack's Lambda, possibly among others.
    Us,
    /// No target: a rule of the stack, left by an interrupted registration.
    Nobody,
    /// Other targets only: not a rule of the stack, despite its name.
    Others,
}

/// The changes from the existing to the desired rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RuleChanges {
    /// Rules to remove first: they have the name of a desired rule but were changed by hand.
    pub replace: Vec<String>,
    /// Rules to create, with their target.
    pub create: Vec<TriggerRule>,
    /// Rules without a target, to be given one.
    pub complete: Vec<TriggerRule>,
    /// Rules to remove: no schedule has these edges any more.
    pub delete: Vec<String>,
    /// Rules that stay as they are.
    pub keep: Vec<String>,
}

impl RuleChanges {
    /// Whether nothing has to change.
    pub fn is_empty(&self) -> bool {
        self.replace.is_empty()
            && self.create.is_empty()
            && self.complete.is_empty()
            && self.delete.is_empty()
    }
}

/// Computes the changes from the existing to the desired rules.
pub fn difference(existing: &[ExistingRule], wanted: &[TriggerRule]) -> RuleChanges {
    let existing: BTreeMap<&str, &ExistingRule> = existing
        .iter()
        .map(|rule| (rule.name.as_str(), rule))
        .collect();
    let mut changes = RuleChanges::default();
    let mut names = BTreeSet::new();
    for rule in wanted {
        names.insert(rule.name.as_str());
        match existing.get(rule.name.as_str()) {
            None => changes.create.push(rule.clone()),
            Some(found) if found.expression.as_deref() != Some(&rule.expression) => {
                changes.replace.push(rule.name.clone());
                changes.create.push(rule.clone());
            }
            Some(found) if found.wakes == Wakes::Us => changes.keep.push(rule.name.clone()),
            Some(_) => changes.complete.push(rule.clone()),
        }
    }
    changes.delete = existing
        .values()
        .filter(|rule| rule.wakes != Wakes::Others && !names.contains(rule.name.as_str()))
        .map(|rule| rule.name.clone())
        .collect();
    changes
}

/// Returns a warning if the bus is nearly full after `changes`; `on_bus` is its current number of rules.
fn nearly_full(on_bus: usize, changes: &RuleChanges) -> Option<String> {
    /// A bus allows 300 rules unless AWS has raised the quota; this leaves time to request that.
    const MANY: usize = 250;
    let now = on_bus + changes.create.len() - changes.delete.len() - changes.replace.len();
    (now >= MANY).then(|| {
        format!("the default event bus has {now} rules; AWS allows 300 unless you ask for more")
    })
}

/// The result of [`Rules::reconcile`] or [`Rules::preview`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The applied changes, or those that would be applied.
    pub changes: RuleChanges,
    /// Warnings for the user, one sentence each.
    pub warnings: Vec<String>,
}

/// The rules of one stack.
#[derive(Clone, Debug)]
pub struct Rules {
    client: Client,
    stack: StackName,
    function_arn: String,
}

impl Rules {
    /// The rules of `stack` on the default bus that target the Lambda with this ARN.
    pub fn new(client: Client, stack: StackName, function_arn: impl Into<String>) -> Self {
        Self {
            client,
            stack,
            function_arn: function_arn.into(),
        }
    }

    /// Applies the changes to the desired rules. Makes no writing call if there are none; if interrupted, the next call
    /// completes the changes.
    pub async fn reconcile(&self, wanted: &[TriggerRule]) -> Result<RuleReport, CloudError> {
        let (existing, on_bus) = self.observe().await?;
        let changes = difference(&existing, wanted);
        let mut warnings = Vec::new();
        for name in &changes.replace {
            warnings.extend(self.remove(name).await?);
        }
        for rule in &changes.create {
            self.put(rule).await?;
            self.aim(rule).await?;
        }
        for rule in &changes.complete {
            self.aim(rule).await?;
        }
        for name in &changes.delete {
            warnings.extend(self.remove(name).await?);
        }
        warnings.extend(nearly_full(on_bus, &changes));
        Ok(RuleReport { changes, warnings })
    }

    /// Returns what [`reconcile`](Self::reconcile) would change and warn of.
    pub async fn preview(&self, wanted: &[TriggerRule]) -> Result<RuleReport, CloudError> {
        let (existing, on_bus) = self.observe().await?;
        let changes = difference(&existing, wanted);
        let warnings = nearly_full(on_bus, &changes).into_iter().collect();
        Ok(RuleReport { changes, warnings })
    }

    /// The names of the scheduled rules that target this stack's Lambda.
    pub async fn names(&self) -> Result<Vec<String>, CloudError> {
        let (existing, _) = self.observe().await?;
        Ok(existing
            .into_iter()
            .filter(|rule| rule.wakes == Wakes::Us)
            .map(|rule| rule.name)
            .collect())
    }

    /// Returns every rule with Curfew's name prefix, and the number of all rules on the bus.
    async fn observe(&self) -> Result<(Vec<ExistingRule>, usize), CloudError> {
        let prefix = format!("{}-", self.stack.prefix());
        let waking_us = self.names_by_target().await?;
        let mut existing = Vec::new();
        let mut on_bus = 0;
        let mut pages = PageTokens::new("events:ListRules");
        let mut token = None;
        loop {
            let page = self
                .client
                .list_rules()
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("events:ListRules", error))?;
            on_bus += page.rules().len();
            for rule in page.rules() {
                let Some(name) = rule.name().filter(|name| name.starts_with(&prefix)) else {
                    continue;
                };
                let wakes = if waking_us.contains(name) {
                    Wakes::Us
                } else if rule.description() == Some(self.mark().as_str())
                    && self.targets(name).await?.is_empty()
                {
                    Wakes::Nobody
                } else {
                    Wakes::Others
                };
                existing.push(ExistingRule {
                    name: name.to_owned(),
                    expression: rule.schedule_expression().map(str::to_owned),
                    wakes,
                });
            }
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok((existing, on_bus));
            }
        }
    }

    async fn names_by_target(&self) -> Result<BTreeSet<String>, CloudError> {
        let mut names = BTreeSet::new();
        let mut pages = PageTokens::new("events:ListRuleNamesByTarget");
        let mut token = None;
        loop {
            let page = self
                .client
                .list_rule_names_by_target()
                .target_arn(&self.function_arn)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("events:ListRuleNamesByTarget", error))?;
            names.extend(page.rule_names.unwrap_or_default());
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    fn mark(&self) -> String {
        TriggerRule::description(&self.stack)
    }

    async fn put(&self, rule: &TriggerRule) -> Result<(), CloudError> {
        self.client
            .put_rule()
            .name(&rule.name)
            .description(self.mark())
            .schedule_expression(&rule.expression)
            .state(RuleState::Enabled)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("events:PutRule", error))?;
        Ok(())
    }

    async fn aim(&self, rule: &TriggerRule) -> Result<(), CloudError> {
        let target = Target::builder()
            .id(TriggerRule::TARGET)
            .arn(&self.function_arn)
            .input(rule.input())
            .build()
            .expect("a target has its id and its ARN");
        let response = self
            .client
            .put_targets()
            .rule(&rule.name)
            .targets(target)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("events:PutTargets", error))?;
        match response.failed_entries().first() {
            None => Ok(()),
            Some(failed) => Err(CloudError::new(
                "events:PutTargets",
                CloudErrorKind::Refused,
                format!(
                    "`{}`: {}",
                    rule.name,
                    failed.error_message().unwrap_or("no reason given")
                ),
            )),
        }
    }

    /// Removes the Lambda from the rule's targets, and deletes the rule unless it has others; then returns a warning.
    async fn remove(&self, name: &str) -> Result<Option<String>, CloudError> {
        let targets = match self.targets(name).await {
            // Deleted by another process since it was observed.
            Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(None),
            targets => targets?,
        };
        let (ours, others): (Vec<_>, Vec<_>) = targets
            .into_iter()
            .partition(|target| target.arn == self.function_arn);
        if !ours.is_empty() {
            let removed = self
                .client
                .remove_targets()
                .rule(name)
                .set_ids(Some(ours.into_iter().map(|target| target.id).collect()))
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("events:RemoveTargets", error));
            let response = match removed {
                Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(None),
                response => response?,
            };
            if let Some(failed) = response.failed_entries().first() {
                return Err(CloudError::new(
                    "events:RemoveTargets",
                    CloudErrorKind::Refused,
                    format!(
                        "`{name}`: {}",
                        failed.error_message().unwrap_or("no reason given")
                    ),
                ));
            }
        }
        if !others.is_empty() {
            return Ok(Some(format!(
                "the rule `{name}` stays because it has targets that are not Curfew's"
            )));
        }
        let deleted = self.client.delete_rule().name(name).send().await;
        match deleted.map_err(|error| CloudError::from_sdk("events:DeleteRule", error)) {
            Err(error) if error.kind != CloudErrorKind::NotFound => Err(error),
            _ => Ok(None),
        }
    }

    async fn targets(&self, rule: &str) -> Result<Vec<Target>, CloudError> {
        let mut targets = Vec::new();
        let mut pages = PageTokens::new("events:ListTargetsByRule");
        let mut token = None;
        loop {
            let page = self
                .client
                .list_targets_by_rule()
                .rule(rule)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("events:ListTargetsByRule", error))?;
            targets.extend(page.targets.unwrap_or_default());
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok(targets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> StackName {
        "demo".parse().unwrap()
    }

    fn rule(expression: &str) -> TriggerRule {
        TriggerRule::for_edges(&stack(), expression, vec!["office".parse().unwrap()])
    }

    fn existing(rule: &TriggerRule, wakes: Wakes) -> ExistingRule {
        ExistingRule {
            name: rule.name.clone(),
            expression: Some(rule.expression.clone()),
            wakes,
        }
    }

    const MORNING: &str = "cron(0 7 ? * MON-FRI *)";
    const EVENING: &str = "cron(0 19 ? * MON-FRI *)";

    #[test]
    fn existing_desired_rules_are_kept() {
        let wanted = [
            rule(MORNING),
            TriggerRule::heartbeat(&stack(), "rate(5 minutes)"),
        ];
        let there = wanted.clone().map(|rule| existing(&rule, Wakes::Us));
        assert!(difference(&there, &wanted).is_empty());
    }

    #[test]
    fn a_changed_schedule_is_a_new_rule_and_the_old_one_is_deleted() {
        let old = rule(MORNING);
        let new = rule(EVENING);
        assert_ne!(old.name, new.name);
        let changes = difference(&[existing(&old, Wakes::Us)], std::slice::from_ref(&new));
        assert_eq!(changes.create, [new]);
        assert_eq!(changes.delete, [old.name]);
    }

    #[test]
    fn a_rule_without_a_target_gets_it_or_is_deleted() {
        let half = rule(EVENING);
        let there = [existing(&half, Wakes::Nobody)];
        assert_eq!(
            difference(&there, std::slice::from_ref(&half)).complete,
            std::slice::from_ref(&half)
        );
        assert_eq!(difference(&there, &[]).delete, [half.name]);
    }

    #[test]
    fn a_rule_with_other_targets_is_never_changed() {
        let theirs = rule(EVENING);
        assert!(difference(&[existing(&theirs, Wakes::Others)], &[]).is_empty());
    }

    #[test]
    fn an_edited_rule_is_replaced() {
        let wanted = rule(EVENING);
        let mut edited = existing(&wanted, Wakes::Us);
        edited.expression = Some(MORNING.to_owned());
        let changes = difference(&[edited], std::slice::from_ref(&wanted));
        assert_eq!(changes.replace, std::slice::from_ref(&wanted.name));
        assert_eq!(changes.create, [wanted]);
        assert_eq!(changes.delete, [""; 0]);
    }

    #[test]
    fn a_rules_name_does_not_depend_on_its_schedules() {
        let one = rule(MORNING);
        let lab = vec!["office".parse().unwrap(), "lab".parse().unwrap()];
        let more = TriggerRule::for_edges(&stack(), MORNING, lab);
        assert!(difference(&[existing(&one, Wakes::Us)], &[more]).is_empty());
    }

    #[test]
    fn the_input_has_the_cron_of_the_rule() {
        assert_eq!(
            rule(EVENING).input(),
            r#"{"command":"wake","cron":"cron(0 19 ? * MON-FRI *)"}"#
        );
        assert_eq!(
            TriggerRule::heartbeat(&stack(), "rate(5 minutes)").input(),
            r#"{"command":"wake"}"#
        );
    }
}
