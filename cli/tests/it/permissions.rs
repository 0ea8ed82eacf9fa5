//! Checks `docs/reference/iam.md`: its table matches the template's role, its policies allow every call of the program, and an
//! independent policy evaluator confirms what they deny.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use curfew_model::{PolicyQuestion, PolicySimulator, Template, actions_of};
use serde_json::Value;

const DOCS: &str = include_str!("../../../docs/reference/iam.md");
const STACK: &str = include_str!("../../../crates/deploy/src/stack.yaml");
const FLEET_POLICY: &str = include_str!("../../../lambda/tests/queue/fleet-policy.json");
const ACCOUNT: &str = Template::ACCOUNT;

/// A policy from the docs, with its placeholders filled in.
fn policy(name: &str) -> Value {
    let (_, after) = DOCS
        .split_once(&format!("<!-- policy: {name} -->\n```json\n"))
        .unwrap_or_else(|| panic!("docs/reference/iam.md has no policy `{name}`"));
    let (text, _) = after.split_once("```").unwrap();
    let text = text
        .replace("PARTITION", "aws")
        .replace("KEY", "1234abcd-12ab-34cd-56ef-1234567890ab")
        .replace("ACCOUNT", ACCOUNT)
        .replace("REGION", "eu-west-3");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("policy `{name}`: {error}"))
}

/// The cells of the first table below a heading, without the header rows.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, after) = DOCS.split_once(&format!("\n## {heading}\n")).unwrap();
    let lines = after.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    })
    .collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_documented_role_of_the_lambda_matches_the_template() {
    let statements: Vec<Value> = serde_json::from_str(FLEET_POLICY).unwrap();
    let statements: Vec<String> = statements.iter().map(Value::to_string).collect();
    let role = Template::read(STACK, "eu-west-3")
        .with("FleetPolicy", &statements.join(","))
        .with(
            "MemberRoles",
            "arn:aws:iam::000000000001:role/curfew-member",
        )
        .role("Role");
    let rows = table("The Lambda's role");
    let documented: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| quoted(&row[0]).map(str::to_owned))
        .collect();
    assert_eq!(documented, role.grants());
    for row in &rows {
        assert!(row.len() == 3 && !row[2].is_empty(), "why {}?", row[0]);
    }
}

/// Collects the actions from error constructors, which name the call: `CloudError::from_sdk("ec2:StopInstances", …)`.
fn named_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let texts = text.split('"').skip(1);
            found.extend(texts.filter(|text| is_action(text)).map(str::to_owned));
        }
    }
}

fn is_action(text: &str) -> bool {
    const SERVICES: [&str; 10] = [
        "cloudformation",
        "s3",
        "ssm",
        "events",
        "sqs",
        "ec2",
        "sns",
        "sts",
        "lambda",
        "apigateway",
    ];
    let Some((service, name)) = text.split_once(':') else {
        return false;
    };
    SERVICES.contains(&service)
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[test]
fn the_policies_allow_every_call_of_the_program() {
    let mut called = BTreeSet::new();
    for directory in [
        "cli/src",
        "daemon/src",
        "crates/aws/src",
        "crates/deploy/src",
        "crates/emulator/src",
    ] {
        named_in(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("..")
                .join(directory),
            &mut called,
        );
    }
    assert!(called.len() > 25, "{called:?}");
    let granted = [policy("daemon"), policy("operator")];
    let granted: BTreeSet<String> = granted.iter().flat_map(actions_of).collect();
    let missing: Vec<&str> = called
        .iter()
        .map(|call| match call.as_str() {
            // *Actions, resources, and condition keys for Amazon S3*
            "s3:ListObjectsV2" => "s3:ListBucket",
            "s3:DeleteObjects" => "s3:DeleteObject",
            other => other,
        })
        .filter(|action| !granted.contains(*action))
        // The first needs no permission; the demo launches instances in an emulator only; the last is a condition key.
        .filter(|action| {
            ![
                "sts:GetCallerIdentity",
                "ec2:RunInstances",
                "sts:ExternalId",
            ]
            .contains(action)
        })
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "not in docs/reference/iam.md");
}

#[test]
fn every_statement_and_stack_resource_is_documented() {
    for (name, heading) in [
        ("daemon", "The daemon and the commands"),
        ("operator", "Deploying"),
    ] {
        let policy = policy(name);
        let statements = policy["Statement"].as_array().unwrap();
        let sids: BTreeSet<&str> = statements
            .iter()
            .map(|one| one["Sid"].as_str().unwrap())
            .collect();
        let rows = table(heading);
        let documented: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
        assert_eq!(documented, sids, "{heading}");
    }
    let rows = table("Deploying");
    let documented: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| quoted(&row[1]).map(str::to_owned))
        .filter(|word| word.starts_with("AWS::"))
        .collect();
    assert_eq!(
        documented,
        Template::read(STACK, "eu-west-3").resource_types()
    );
}

/// An ARN of this account and region.
fn own(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:eu-west-3:{ACCOUNT}:{rest}")
}

fn instance() -> String {
    own("ec2", "instance/i-0123456789abcdef0")
}

/// An action on an instance with the schedule tag.
fn tagged(action: &str) -> PolicyQuestion {
    PolicyQuestion::of(action, &instance()).with("aws:ResourceTag/Schedule", "office")
}

/// The function's role.
fn role() -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/curfew-Role-1A2B3C")
}

/// A grant on a key of this account.
fn grant() -> PolicyQuestion {
    let key = own("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab");
    PolicyQuestion::of("kms:CreateGrant", &key).with_default_key_policy()
}

fn pass(service: &str) -> PolicyQuestion {
    PolicyQuestion::of("iam:PassRole", &role()).with("iam:PassedToService", service)
}

#[test]
fn the_daemon_policy_allows_managed_instances_and_no_change_of_the_stack() {
    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let stack = own("cloudformation", "stack/curfew/0f1e2d3c");
    let configuration = own("ssm", "parameter/curfew/curfew/configuration");
    let allowed = [
        tagged("ec2:StopInstances"),
        tagged("ec2:DeleteTags").with("aws:TagKeys", ["curfew:override"].as_slice()),
        grant().with("kms:GrantIsForAWSResource", "true"),
        PolicyQuestion::of("cloudformation:DescribeStacks", &stack),
        PolicyQuestion::of(
            "lambda:GetFunctionConfiguration",
            &own("lambda", "function:curfew-curfew"),
        ),
        PolicyQuestion::of("events:ListRules", "*"),
        PolicyQuestion::of(
            "events:PutRule",
            &own("events", "rule/curfew-curfew-edges-3f2a9c"),
        ),
        PolicyQuestion::of("ssm:PutParameter", &configuration),
        PolicyQuestion::of("ssm:PutParameter", &format!("{configuration}/a")),
        PolicyQuestion::of(
            "sqs:GetQueueAttributes",
            &own("sqs", "curfew-curfew-undone-work.fifo"),
        ),
    ];
    let denied = [
        PolicyQuestion::of("ec2:StopInstances", &instance()),
        grant(),
        grant().with("kms:GrantIsForAWSResource", "false"),
        tagged("ec2:TerminateInstances"),
        tagged("ec2:DeleteTags"),
        tagged("ec2:CreateTags").with("aws:TagKeys", ["Schedule"].as_slice()),
        PolicyQuestion::of("cloudformation:DeleteStack", &stack),
        PolicyQuestion::of("events:PutRule", &own("events", "rule/nightly-billing")),
        PolicyQuestion::of(
            "ssm:PutParameter",
            &own("ssm", "parameter/curfew/other/configuration"),
        ),
        PolicyQuestion::of("sqs:ReceiveMessage", &own("sqs", "orders")),
        pass("lambda.amazonaws.com"),
    ];
    let daemon = [policy("daemon")];
    simulator.assert_allowed(&daemon, None, &allowed);
    simulator.assert_denied(&daemon, None, &denied);
}

#[test]
fn the_operator_policy_allows_the_stack_and_nothing_else() {
    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let stack = own("cloudformation", "stack/curfew/0f1e2d3c");
    let bucket = format!("arn:aws:s3:::curfew-curfew-{ACCOUNT}-eu-west-3");
    let allowed = [
        PolicyQuestion::of("cloudformation:DescribeStacks", "*"),
        PolicyQuestion::of("cloudformation:DeleteStack", &stack),
        PolicyQuestion::of("cloudformation:ExecuteChangeSet", &stack),
        PolicyQuestion::of("s3:CreateBucket", &bucket),
        PolicyQuestion::of("s3:PutBucketTagging", &bucket),
        PolicyQuestion::of(
            "ssm:GetParameter",
            &format!("arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/curfew/live/configuration"),
        ),
        PolicyQuestion::of(
            "lambda:PutFunctionEventInvokeConfig",
            &own("lambda", "function:curfew-curfew:$LATEST"),
        ),
        PolicyQuestion::of(
            "logs:CreateLogGroup",
            &own("logs", "log-group:/aws/apigateway/curfew-curfew"),
        ),
        PolicyQuestion::of("s3:PutObject", &format!("{bucket}/lambda/0a1b.zip")),
        PolicyQuestion::of("iam:CreateRole", &role()),
        pass("lambda.amazonaws.com"),
        PolicyQuestion::of(
            "lambda:CreateFunction",
            &own("lambda", "function:curfew-curfew"),
        ),
        PolicyQuestion::of("sqs:CreateQueue", &own("sqs", "curfew-curfew-work.fifo")),
        PolicyQuestion::of(
            "events:PutRule",
            &own("events", "rule/curfew-curfew.state-change"),
        ),
        PolicyQuestion::of(
            "logs:CreateLogGroup",
            &own("logs", "log-group:/aws/lambda/curfew-curfew"),
        ),
    ];
    let denied = [
        tagged("ec2:TerminateInstances"),
        pass("ec2.amazonaws.com"),
        PolicyQuestion::of(
            "iam:CreateRole",
            &format!("arn:aws:iam::{ACCOUNT}:role/admin"),
        ),
        PolicyQuestion::of("iam:AttachRolePolicy", &role()),
        PolicyQuestion::of(
            "iam:CreateUser",
            &format!("arn:aws:iam::{ACCOUNT}:user/curfew-mallory"),
        ),
        PolicyQuestion::of(
            "cloudformation:DeleteStack",
            &own("cloudformation", "stack/payments/0f1e2d3c"),
        ),
        PolicyQuestion::of("s3:PutObject", "arn:aws:s3:::backups/a"),
        PolicyQuestion::of(
            "lambda:UpdateFunctionCode",
            &own("lambda", "function:payments"),
        ),
        PolicyQuestion::of(
            "lambda:InvokeFunction",
            &own("lambda", "function:curfew-curfew"),
        ),
        PolicyQuestion::of("sqs:DeleteQueue", &own("sqs", "orders")),
        PolicyQuestion::of(
            "logs:DeleteLogGroup",
            &own("logs", "log-group:/aws/lambda/payments"),
        ),
    ];
    let operator = [policy("operator")];
    simulator.assert_allowed(&operator, None, &allowed);
    simulator.assert_denied(&operator, None, &denied);
}
