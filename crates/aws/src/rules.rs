//! The EventBridge rules that wake the Lambda: what there should be against what there is, and the calls in between.
//!
//! A rule is immutable: its name ends in a hash of its content, so a changed schedule is a new rule and the old one is
//! deleted (LocalStack can't update a rule). Nothing here decides when a schedule has its edges.

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

/// A rule as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriggerRule {
    /// `curfew-STACK-edges-HASH` or `curfew-STACK-heartbeat-HASH`.
    pub name: String,
    /// EventBridge's schedule expression, in UTC.
    pub expression: String,
    /// The schedules with these edges, for readers of the rule; none for the heartbeat.
    pub schedules: Vec<ScheduleName>,
    input: String,
}

impl TriggerRule {
    /// The id of the one target that a rule has: the Lambda.
    pub const TARGET: &'static str = "curfew";

    /// From this many rules on, `curfew check` warns: a bus has room for 300 unless AWS has raised that, other applications use it too,
    /// and asking for more takes days.
    pub const MANY: usize = 200;

    /// The rule that fires at this UTC cron for the edges of `schedules`. Its input names the cron: the Lambda computes from it the minute
    /// that the trigger is for.
    pub fn for_edges(stack: &StackName, expression: &str, schedules: Vec<ScheduleName>) -> Self {
        let input = json!({ "command": "wake", "cron": expression }).to_string();
        Self {
            name: name::of_edges(stack, &content(expression, &input)),
            expression: expression.to_owned(),
            schedules,
            input,
        }
    }

    /// The rule that bounds every delay, for example with `rate(5 minutes)`.
    pub fn heartbeat(stack: &StackName, expression: &str) -> Self {
        let input = json!({ "command": "wake" }).to_string();
        Self {
            name: name::of_heartbeat(stack, &content(expression, &input)),
            expression: expression.to_owned(),
            schedules: Vec::new(),
            input,
        }
    }

    /// What the Lambda is invoked with.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// What all rules of a stack say in EventBridge. By it a rule that has lost its target is known to be this stack's: the stacks
    /// `a` and `a-b` have names that begin alike.
    pub fn description(stack: &StackName) -> String {
        format!("Wakes the Curfew stack {stack}; made and removed by curfew")
    }
}

fn content(expression: &str, input: &str) -> String {
    format!("{expression}\n{input}")
}

/// A rule as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingRule {
    /// Its name, which begins like one of ours.
    pub name: String,
    /// Its schedule expression, where it has one.
    pub expression: Option<String>,
    /// What the rule triggers.
    pub wakes: Wakes,
}

/// The target of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// Our Lambda, perhaps among others.
    Us,
    /// No target: one of Curfew's rules, left by an interrupted registration.
    Nobody,
    /// Others: not our rule, whatever its name says.
    Others,
}

/// What has to happen so that the rules are as they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleChanges {
    /// Rules to remove first: same name, other content, changed by hand.
    pub replace: Vec<String>,
    /// To be made, with their target.
    pub create: Vec<TriggerRule>,
    /// To be given the target that they lack.
    pub complete: Vec<TriggerRule>,
    /// To be removed: no schedule has these edges any more.
    pub delete: Vec<String>,
    /// As they should be.
    pub keep: Vec<String>,
}

impl RuleChanges {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.replace.is_empty()
            && self.create.is_empty()
            && self.complete.is_empty()
            && self.delete.is_empty()
    }
}

/// Compares what is with what should be.
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

/// Says so when the bus, which had so many rules before, is nearly full after `changes`.
fn nearly_full(on_bus: usize, changes: &RuleChanges) -> Option<String> {
    /// A bus allows 300 rules unless AWS has raised that; this is early enough to ask.
    const MANY: usize = 250;
    let now = on_bus + changes.create.len() - changes.delete.len() - changes.replace.len();
    (now >= MANY).then(|| {
        format!("the default event bus has {now} rules; AWS allows 300 unless you ask for more")
    })
}

/// What reconciling did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// What was done.
    pub changes: RuleChanges,
    /// What a person should know, one sentence each.
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

    /// Makes the rules as they should be. Makes no writing call where they already are; interrupted, the next call completes it.
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

    /// What [`reconcile`](Self::reconcile) would do, and warn of.
    pub async fn preview(&self, wanted: &[TriggerRule]) -> Result<RuleReport, CloudError> {
        let (existing, on_bus) = self.observe().await?;
        let changes = difference(&existing, wanted);
        let warnings = nearly_full(on_bus, &changes).into_iter().collect();
        Ok(RuleReport { changes, warnings })
    }

    /// The names of the rules that wake this stack's Lambda by a schedule.
    pub async fn names(&self) -> Result<Vec<String>, CloudError> {
        let (existing, _) = self.observe().await?;
        Ok(existing
            .into_iter()
            .filter(|rule| rule.wakes == Wakes::Us)
            .map(|rule| rule.name)
            .collect())
    }

    /// Every rule with Curfew's name prefix, and how many rules the bus has in all.
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
        let answer = self
            .client
            .put_targets()
            .rule(&rule.name)
            .targets(target)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("events:PutTargets", error))?;
        match answer.failed_entries().first() {
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

    /// Removes our target, and the rule unless others hang on it; then says so.
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
            let answer = match removed {
                Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(None),
                answer => answer?,
            };
            if let Some(failed) = answer.failed_entries().first() {
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
    fn what_is_there_already_is_left_alone() {
        let wanted = [
            rule(MORNING),
            TriggerRule::heartbeat(&stack(), "rate(5 minutes)"),
        ];
        let there = wanted.clone().map(|rule| existing(&rule, Wakes::Us));
        assert!(difference(&there, &wanted).is_empty());
    }

    #[test]
    fn a_changed_schedule_is_a_new_rule_and_the_old_one_goes() {
        let old = rule(MORNING);
        let new = rule(EVENING);
        assert_ne!(old.name, new.name);
        let changes = difference(&[existing(&old, Wakes::Us)], std::slice::from_ref(&new));
        assert_eq!(changes.create, [new]);
        assert_eq!(changes.delete, [old.name]);
    }

    #[test]
    fn an_interrupted_rule_gets_its_target_or_goes() {
        let half = rule(EVENING);
        let there = [existing(&half, Wakes::Nobody)];
        assert_eq!(
            difference(&there, std::slice::from_ref(&half)).complete,
            std::slice::from_ref(&half)
        );
        assert_eq!(difference(&there, &[]).delete, [half.name]);
    }

    #[test]
    fn a_rule_of_somebody_else_is_never_touched() {
        let theirs = rule(EVENING);
        assert!(difference(&[existing(&theirs, Wakes::Others)], &[]).is_empty());
    }

    #[test]
    fn a_rule_that_somebody_edited_is_made_anew() {
        let wanted = rule(EVENING);
        let mut edited = existing(&wanted, Wakes::Us);
        edited.expression = Some(MORNING.to_owned());
        let changes = difference(&[edited], std::slice::from_ref(&wanted));
        assert_eq!(changes.replace, std::slice::from_ref(&wanted.name));
        assert_eq!(changes.create, [wanted]);
        assert_eq!(changes.delete, [""; 0]);
    }

    #[test]
    fn a_rule_is_the_same_whichever_schedules_have_its_edges() {
        let one = rule(MORNING);
        let lab = vec!["office".parse().unwrap(), "lab".parse().unwrap()];
        let more = TriggerRule::for_edges(&stack(), MORNING, lab);
        assert!(difference(&[existing(&one, Wakes::Us)], &[more]).is_empty());
    }

    #[test]
    fn the_lambda_is_told_the_cron_from_which_it_knows_the_minute() {
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
