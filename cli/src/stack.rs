//! What `deploy`, `destroy` and `outputs` say to people.

use curfew_deploy::stack::{Action, Intent, ParameterChange};
use curfew_deploy::{Belongings, DataChange, Outputs, Preview};

use crate::output::{Reader, count, table, table_for};

/// How a deployment is reached.
pub(crate) fn outputs(outputs: &Outputs) -> String {
    let mut lines = vec![("api url", outputs.api_url.clone())];
    lines.extend(outputs.forwarded_url.clone().map(|url| ("forwarded", url)));
    lines.extend([
        ("api id", outputs.api_id.clone()),
        ("stage", outputs.stage.clone()),
        ("function", outputs.function.clone()),
        ("queue", outputs.queue_url.clone()),
        ("rules", outputs.rules.join("\n           ")),
    ]);
    let line = |(name, value): (&str, String)| format!("{name:<10} {value}");
    lines.into_iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Commands to paste.
pub(crate) fn try_next(outputs: &Outputs) -> String {
    let url = outputs.forwarded_url.as_ref().unwrap_or(&outputs.api_url);
    let curl = |what: &str, path: &str| format!("  {what:<28} curl -s '{url}/{path}'\n");
    format!(
        "Try:\n{}{}{}",
        curl("what runs, and why", "status"),
        curl("stop an instance", "stop?instance=i-…"),
        curl("keep it running for 2 hours", "start?instance=i-…&for=2h"),
    )
}

/// What a deployment would change: a row each, and the sum.
pub(crate) fn preview(preview: &Preview) -> String {
    let rows = rows(preview);
    let mut text = match (preview.stack.intent, &preview.stack.status) {
        (Intent::MakeAnew, Some(status)) => format!(
            "The stack is in {status}, as a deployment or removal that failed left it: it would be removed and made anew.\n"
        ),
        _ => String::new(),
    };
    if rows.is_empty() && text.is_empty() {
        text.push_str("Nothing would change.\n");
    } else if !rows.is_empty() {
        let of = |action: &str| count(rows.iter().filter(|row| row.action == action).count());
        let sum = format!(
            "{} to create, {} to change, {} to replace, {} to delete. Nothing was changed.\n",
            of(CREATE),
            of(CHANGE),
            count(
                rows.iter()
                    .filter(|row| row.action.ends_with(REPLACE))
                    .count()
            ),
            of(DELETE)
        );
        let cells = rows
            .into_iter()
            .map(|row| vec![row.action.to_owned(), row.what, row.kind, row.detail]);
        text.push_str(&table(&["action", "what", "kind", "detail"], cells));
        text.push('\n');
        text.push_str(&sum);
    }
    let warnings = preview.warnings.iter();
    text.extend(warnings.map(|warning| format!("note: {warning}\n")));
    text
}

const CREATE: &str = "create";
const CHANGE: &str = "change";
const REPLACE: &str = "replace";
const DELETE: &str = "delete";

struct Row {
    action: &'static str,
    what: String,
    kind: String,
    detail: String,
}

fn rows(preview: &Preview) -> Vec<Row> {
    let row = |action, what: &str, kind: &str, detail: String| Row {
        action,
        what: what.to_owned(),
        kind: kind.to_owned(),
        detail,
    };
    let mut rows = Vec::new();
    for (change, what) in [
        (preview.code, "the Lambda's code"),
        (preview.configuration, "the Lambda's configuration"),
    ] {
        let action = match change {
            DataChange::Keep => continue,
            DataChange::Create => CREATE,
            DataChange::Change => CHANGE,
        };
        rows.push(row(action, what, "data", String::new()));
    }
    let parameters = preview.stack.parameters.iter();
    rows.extend(parameters.map(|change| row(CHANGE, &change.name, "parameter", from_to(change))));
    rows.extend(preview.stack.resources.iter().map(|change| {
        let action = match change.action {
            Action::Create => CREATE,
            Action::Change => CHANGE,
            Action::Replace => REPLACE,
            Action::ChangeOrReplace => "change or replace",
            Action::Delete => DELETE,
        };
        row(
            action,
            &change.resource,
            &change.kind,
            change.properties.join(", "),
        )
    }));
    let stale = preview.stale_code.iter();
    rows.extend(stale.map(|key| row(DELETE, key, "older code", String::new())));
    let rules = &preview.rules;
    let kind = "trigger rule";
    for rule in &rules.create {
        let replaces = rules.replace.contains(&rule.name);
        let action = if replaces { REPLACE } else { CREATE };
        rows.push(row(action, &rule.name, kind, rule.expression.clone()));
    }
    for rule in &rules.complete {
        rows.push(row(CHANGE, &rule.name, kind, "target".to_owned()));
    }
    for name in &rules.delete {
        rows.push(row(DELETE, name, kind, String::new()));
    }
    rows
}

/// `none → token`, cut where policies would fill the screen.
fn from_to(change: &ParameterChange) -> String {
    /// As much of a value as tells it from another; in JSON it is whole.
    const SHOWN: usize = 60;
    let short = |value: &str| {
        if value.chars().count() <= SHOWN {
            return value.to_owned();
        }
        value.chars().take(SHOWN - 1).chain(['…']).collect()
    };
    let from = change.from.as_deref().map_or_else(|| "-".to_owned(), short);
    format!("{from} → {}", short(&change.to))
}

/// What was removed.
pub(crate) fn removed(removed: &Belongings) -> String {
    if removed.is_empty() {
        return "there was nothing to remove".to_owned();
    }
    table(&["removed", "name"], listed(removed))
}

/// What would be removed.
pub(crate) fn belongings(found: &Belongings, reader: Reader) -> String {
    table_for(reader, &["what", "name"], listed(found))
}

fn listed(belongings: &Belongings) -> Vec<Vec<String>> {
    /// More than these are only counted.
    const NAMED: usize = 5;
    let row = |kind: &str, name: &str| vec![kind.to_owned(), name.to_owned()];
    let mut rows: Vec<_> = belongings
        .rules
        .iter()
        .map(|name| row("rule", name))
        .collect();
    if let Some(stack) = &belongings.stack {
        let name = format!("{stack}, with its function, API, queues, role and log group");
        rows.push(row("stack", &name));
    }
    rows.extend(belongings.objects.iter().map(|key| row("code", key)));
    rows.extend(belongings.bucket.iter().map(|name| row("bucket", name)));
    rows.extend(
        belongings
            .parameters
            .iter()
            .map(|name| row("configuration", name)),
    );
    let instances = &belongings.instances;
    if !instances.is_empty() {
        let named: Vec<_> = instances
            .iter()
            .take(NAMED)
            .map(ToString::to_string)
            .collect();
        let more = instances.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {} more", count(more))
        } else {
            String::new()
        };
        rows.push(row(
            "tags `curfew:*`",
            &format!("of {}{more}", named.join(", ")),
        ));
    }
    rows
}

#[cfg(test)]
mod tests {
    use curfew_aws::rules::{RuleChanges, TriggerRule};

    use super::*;
    use curfew_deploy::stack::{ResourceChange, StackChanges};

    fn nothing() -> Preview {
        Preview {
            code: DataChange::Keep,
            stale_code: Vec::new(),
            configuration: DataChange::Keep,
            stack: StackChanges {
                intent: Intent::Keep,
                status: Some("UPDATE_COMPLETE".to_owned()),
                parameters: Vec::new(),
                resources: Vec::new(),
            },
            rules: RuleChanges::default(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_plan_says_what_happens_to_each_thing_and_how_many_there_are() {
        let mut plan = nothing();
        plan.code = DataChange::Change;
        plan.stale_code = vec!["lambda/0f.zip".to_owned()];
        plan.configuration = DataChange::Create;
        plan.stack.intent = Intent::Update;
        plan.stack.parameters = vec![
            ParameterChange {
                name: "Auth".to_owned(),
                from: Some("none".to_owned()),
                to: "token".to_owned(),
            },
            ParameterChange {
                name: "FleetPolicy".to_owned(),
                from: None,
                to: "x".repeat(100),
            },
        ];
        plan.stack.resources = [
            (Action::Change, "Function"),
            (Action::Replace, "Stage"),
            (Action::ChangeOrReplace, "Work"),
            (Action::Delete, "IamDeployment"),
        ]
        .map(|(action, resource)| ResourceChange {
            action,
            resource: resource.to_owned(),
            kind: "AWS::Some::Thing".to_owned(),
            properties: vec!["Code".to_owned(), "Tags".to_owned()],
        })
        .to_vec();
        let stack = "demo".parse().unwrap();
        plan.rules.create = vec![TriggerRule::heartbeat(&stack, "rate(5 minutes)")];
        plan.rules.delete = vec!["curfew-demo-old-stop-123456".to_owned()];
        plan.warnings = vec!["the bus is nearly full".to_owned()];
        insta::assert_snapshot!(preview(&plan), @"
        ACTION             WHAT                          KIND              DETAIL
        change             the Lambda's code             data
        create             the Lambda's configuration         data
        change             Auth                          parameter         none → token
        change             FleetPolicy                   parameter         - → xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
        change             Function                      AWS::Some::Thing  Code, Tags
        replace            Stage                         AWS::Some::Thing  Code, Tags
        change or replace  Work                          AWS::Some::Thing  Code, Tags
        delete             IamDeployment                 AWS::Some::Thing  Code, Tags
        delete             lambda/0f.zip                 older code
        create             curfew-demo-heartbeat-641d0e  trigger rule      rate(5 minutes)
        delete             curfew-demo-old-stop-123456   trigger rule

        2 to create, 4 to change, 2 to replace, 3 to delete. Nothing was changed.
        note: the bus is nearly full
        ");
    }

    #[test]
    fn a_plan_without_changes_says_so() {
        insta::assert_snapshot!(preview(&nothing()), @"Nothing would change.");
        let mut ruined = nothing();
        ruined.stack.intent = Intent::MakeAnew;
        ruined.stack.status = Some("ROLLBACK_COMPLETE".to_owned());
        insta::assert_snapshot!(preview(&ruined), @"The stack is in ROLLBACK_COMPLETE, as a deployment or removal that failed left it: it would be removed and made anew.");
    }

    #[test]
    fn what_is_removed_is_listed_and_many_instances_are_counted() {
        let found = Belongings {
            rules: vec!["curfew-demo-heartbeat-123456".to_owned()],
            stack: Some("demo".parse().unwrap()),
            bucket: Some("curfew-demo-000000000000-eu-west-3".to_owned()),
            objects: vec!["lambda/0f.zip".to_owned()],
            parameters: vec!["/curfew/demo/configuration".to_owned()],
            instances: (0..1200)
                .map(|number| format!("i-{number:017x}").parse().unwrap())
                .collect(),
            kept: Vec::new(),
            failed: Vec::new(),
        };
        insta::assert_snapshot!(removed(&found), @"
        REMOVED          NAME
        rule             curfew-demo-heartbeat-123456
        stack            demo, with its function, API, queues, role and log group
        code             lambda/0f.zip
        bucket           curfew-demo-000000000000-eu-west-3
        configuration         /curfew/demo/configuration
        tags `curfew:*`  of i-00000000000000000, i-00000000000000001, i-00000000000000002, i-00000000000000003, i-00000000000000004 and 1,195 more
        ");
        insta::assert_snapshot!(removed(&Belongings::default()), @"there was nothing to remove");
    }
}
