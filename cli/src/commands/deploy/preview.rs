//! The table that `curfew deploy --dry-run` prints.

use curfew_deploy::stack::{Intent, ParameterChange, ResourceAction};
use curfew_deploy::{DataChange, Preview};

use crate::output::count;
use crate::table::Table;
use crate::view::View;

/// Formats the changes of a deployment: one row per change, then the totals.
pub(super) fn render(preview: &Preview) -> View {
    let rows = rows(preview);
    let mut view = View::default();
    if let (Intent::MakeAnew, Some(status)) = (preview.stack.intent, &preview.stack.status) {
        view.line(format!(
            "The stack is in {status}, left by a failed deployment or removal. It would be removed and created again."
        ));
    }
    if rows.is_empty() && view.is_empty() {
        view.line("Nothing would change.");
    } else if !rows.is_empty() {
        let of = |action: &str| count(rows.iter().filter(|row| row.action == action).count());
        let sum = format!(
            "{} to create, {} to change, {} to replace, {} to delete. Nothing was changed.",
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
        let header = ["action", "what", "kind", "detail"];
        view.table(Table::of_text(&header, cells)).gap().line(sum);
    }
    for warning in &preview.warnings {
        view.line(format!("note: {warning}"));
    }
    view
}

const CREATE: &str = "create";
const CHANGE: &str = "change";
const REPLACE: &str = "replace";
const DELETE: &str = "delete";

struct PreviewRow {
    action: &'static str,
    what: String,
    kind: String,
    detail: String,
}

fn rows(preview: &Preview) -> Vec<PreviewRow> {
    let row = |action, what: &str, kind: &str, detail: String| PreviewRow {
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
            ResourceAction::Create => CREATE,
            ResourceAction::Change => CHANGE,
            ResourceAction::Replace => REPLACE,
            ResourceAction::ChangeOrReplace => "change or replace",
            ResourceAction::Delete => DELETE,
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

/// Formats a parameter change as `none → token`. Truncates long values such as policies.
fn from_to(change: &ParameterChange) -> String {
    /// Enough characters to distinguish two values. The JSON output has the full value.
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

#[cfg(test)]
mod tests {
    use curfew_aws::rules::{RuleChanges, TriggerRule};

    use super::*;
    use crate::output_target::OutputTarget;
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

    fn shown(preview: &Preview) -> String {
        render(preview).render(OutputTarget::pipe(None))
    }

    #[test]
    fn a_preview_lists_each_change_and_the_totals() {
        let mut planned = nothing();
        planned.code = DataChange::Change;
        planned.stale_code = vec!["lambda/0f.zip".to_owned()];
        planned.configuration = DataChange::Create;
        planned.stack.intent = Intent::Update;
        planned.stack.parameters = vec![
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
        planned.stack.resources = [
            (ResourceAction::Change, "Function"),
            (ResourceAction::Replace, "Stage"),
            (ResourceAction::ChangeOrReplace, "Work"),
            (ResourceAction::Delete, "IamDeployment"),
        ]
        .map(|(action, resource)| ResourceChange {
            action,
            resource: resource.to_owned(),
            kind: "AWS::Some::Thing".to_owned(),
            properties: vec!["Code".to_owned(), "Tags".to_owned()],
        })
        .to_vec();
        let stack = "demo".parse().unwrap();
        planned.rules.create = vec![TriggerRule::heartbeat(&stack, "rate(5 minutes)")];
        planned.rules.delete = vec!["curfew-demo-old-stop-123456".to_owned()];
        planned.warnings = vec!["the bus is nearly full".to_owned()];
        insta::assert_snapshot!(shown(&planned), @"
        ACTION             WHAT                          KIND              DETAIL
        change             the Lambda's code             data
        create             the Lambda's configuration    data
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
    fn a_preview_without_changes_prints_one_sentence() {
        insta::assert_snapshot!(shown(&nothing()), @"Nothing would change.");
        let mut failed = nothing();
        failed.stack.intent = Intent::MakeAnew;
        failed.stack.status = Some("ROLLBACK_COMPLETE".to_owned());
        insta::assert_snapshot!(shown(&failed), @"The stack is in ROLLBACK_COMPLETE, left by a failed deployment or removal. It would be removed and created again.");
    }
}
