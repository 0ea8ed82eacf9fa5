//! The function's permissions: the templates' roles grant exactly the calls that it makes; an independent policy evaluator
//! confirms their conditions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use curfew_model::{
    ApiAction, Denial, Ec2InstanceState, Launch, PolicyQuestion, PolicySimulator, RecordedOutcome,
    SpotKind, Template, TemplateRole,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::simulation::{HOME, REGIONS, SimulatedLambda};

const STACK: &str = include_str!("../../../../crates/deploy/src/stack.yaml");
const MEMBER_ROLE: &str = include_str!("../../../../crates/deploy/src/member-role.yaml");
const MEMBER: &str = "000000000001";
const EXTERNAL_ID: &str = "curfew-7d1f4c";

/// The permissions that Lambda itself uses: it writes the log and polls the queue. The function makes no such call.
/// <https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaSQSQueueExecutionRole.html>
const OF_LAMBDA: [&str; 5] = [
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
];

/// The values that `curfew deploy` passes for this organisation on AWS; the tests of the deploy crate compare this file with
/// them.
const FLEET_POLICY: &str = include_str!("../../queue/fleet-policy.json");

fn stack() -> Template {
    let statements: Vec<Value> = serde_json::from_str(FLEET_POLICY).unwrap();
    let statements: Vec<String> = statements.iter().map(Value::to_string).collect();
    Template::read(STACK, REGIONS[0])
        .with("FleetPolicy", &statements.join(","))
        .with(
            "MemberRoles",
            &format!("arn:aws:iam::{MEMBER}:role/curfew-member"),
        )
}

/// The role of the stack's function.
fn own_role() -> TemplateRole {
    stack().role("Role")
}

/// The role in the other account.
fn member_role() -> TemplateRole {
    let template = Template::read(MEMBER_ROLE, REGIONS[0]);
    let parameters = [("CurfewAccount", HOME), ("ExternalId", EXTERNAL_ID)];
    let filled = parameters
        .into_iter()
        .fold(template, |template, (name, value)| {
            template.with(name, value)
        });
    filled.role("Role")
}

/// A cloud that grants what the roles grant, and only where their tag is.
async fn cloud() -> Arc<SimulatedLambda> {
    let hours = |running: &str| json!({"timezone": "Europe/Paris", "running": running});
    let mut night = hours("Mon-Fri 20:00-06:00");
    night["fallback_types"] = json!(["m6i.large"]);
    let configuration = json!({
        "managing": {"tag": "Schedule", "regions": [REGIONS[0]]},
        "schedules": {"office": hours("Mon-Fri 08:00-20:00"), "night": night},
    });
    let cloud = SimulatedLambda::with(1, [], configuration).await;
    for (account, role) in [(HOME, own_role()), (MEMBER, member_role())] {
        let granted = role.grants();
        cloud.ec2.grant_only(account, &granted);
        for action in ApiAction::ALL {
            let permission = action.permission();
            if permission.starts_with("ec2:") && !action.is_describe() {
                let denial = Denial::of(*action).in_account(account);
                cloud.ec2.deny(denial.unless_tagged("Schedule", "*"));
            }
        }
    }
    cloud
}

/// Every kind of call of the function: stops and starts, Spot requests, a fallback type for an instance without capacity and
/// its original type again, overrides and their end, in its own account and in another.
async fn live(cloud: &Arc<SimulatedLambda>) {
    cloud.ec2.set_capacity("m5.large", "eu-west-3a", 0);
    let mut held = Vec::new();
    for account in [HOME, MEMBER] {
        let launch = |name: &str, schedule: &str| {
            Launch::new(name)
                .account(account)
                .region(REGIONS[0])
                .tag("Schedule", schedule)
                .launched_at("2035-11-26T07:00:05Z".parse().unwrap())
        };
        cloud.ec2.launch(launch("web", "office"));
        cloud
            .ec2
            .launch(launch("spot", "office").spot(SpotKind::Persistent));
        cloud.ec2.launch(
            launch("batch", "night")
                .stopped()
                .instance_type("m5.large")
                .tag("curfew:last", "2035-11-26T05:00:00Z stop schedule night"),
        );
        // A retry that is no longer due is removed.
        let refused = "2035-11-26T07:00:00Z start 1x ErrorCode first 2035-11-26T07:00:00Z next 2035-11-26T07:01:00Z";
        cloud
            .ec2
            .launch(launch("tried", "office").tag("curfew:retry", refused));
        held.push(cloud.ec2.launch(launch("overridden", "office")).to_string());
    }
    for _ in 0..2 {
        cloud.invoke(&json!({"command": "wake"})).await;
        cloud.drain().await;
        // Triggers of one minute are one pass.
        sleep(Duration::from_mins(1)).await;
    }
    // A stop takes time, and transitioning instances are skipped.
    sleep(Duration::from_mins(2)).await;
    for asked in [
        json!({"command": "start", "instance": held, "for": "2h"}),
        json!({"command": "resume", "instance": held}),
    ] {
        let answer = cloud.invoke(&asked).await;
        assert_eq!(
            answer["instances"].as_array().map(Vec::len),
            Some(2),
            "{answer}"
        );
        sleep(Duration::from_mins(2)).await;
    }
}

/// Prints a message if the evaluator is missing; `.config/nextest.toml` shows it.
#[expect(clippy::print_stderr, reason = "a skipped test must be visible")]
#[test]
fn the_policy_tests_can_run() {
    if let Err(missing) = PolicySimulator::find() {
        eprintln!(
            "SKIPPED: the tests of the roles' conditions, because {missing}.\n\
             They need node 20 or newer, and `tools/policy-simulator --install-only`."
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_roles_grant_exactly_the_calls_made() {
    let cloud = cloud().await;
    live(&cloud).await;

    let calls = cloud.ec2.calls().into_iter();
    let refused = calls.filter_map(|call| match call.outcome {
        RecordedOutcome::Refused(code) => {
            Some(format!("{} in {}: {code}", call.name, call.home.account))
        }
        _ => None,
    });
    let refused: BTreeSet<String> = refused
        .filter(|line| !line.contains("InsufficientInstanceCapacity"))
        .collect();
    assert_eq!(refused, BTreeSet::new(), "not granted");
    let count = |state| {
        let instances = cloud.ec2.instances();
        instances.iter().filter(|one| one.state == state).count()
    };
    assert!(count(Ec2InstanceState::Stopping) + count(Ec2InstanceState::Stopped) >= 6);

    let called = |account: &str| -> BTreeSet<String> {
        let calls = cloud.ec2.calls().into_iter();
        let here = calls.filter(|call| call.home.account == account);
        here.map(|call| {
            ApiAction::named(&call.name)
                .expect("the model knows it")
                .permission()
        })
        .collect()
    };
    // The model records the account of each call; the recorder includes the parameter store.
    let mut own = called(HOME);
    own.extend(
        cloud
            .recorder
            .permissions()
            .into_iter()
            .filter(|one| one.starts_with("ssm:")),
    );
    own.extend(OF_LAMBDA.map(str::to_owned));
    assert_eq!(own_role().grants(), own, "left: granted, right: called");
    assert_eq!(
        member_role().grants(),
        called(MEMBER),
        "left: granted, right: called"
    );
}

/// The policies allow every call of the function, and deny calls that it never makes.
#[test]
fn an_independent_evaluator_confirms_the_role_conditions() {
    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let role = own_role();
    let instance = |account: &str, region: &str| {
        format!("arn:aws:ec2:{region}:{account}:instance/i-0123456789abcdef0")
    };
    let here = instance(HOME, REGIONS[0]);
    let tagged = |action: &str, resource: &str| {
        PolicyQuestion::of(action, resource).with("aws:ResourceTag/Schedule", "office")
    };
    let keys = |action: &str, keys: &[&str]| tagged(action, &here).with("aws:TagKeys", keys);
    // The member's trust decides as well.
    let assuming = |external_id: &str| {
        let account_region = format!("arn:aws:iam::{MEMBER}:role/curfew-member");
        PolicyQuestion::of("sts:AssumeRole", &account_region)
            .with("sts:ExternalId", external_id)
            .with_resource_policy(member_role().trust)
    };
    let allowed = [
        PolicyQuestion::of("ec2:DescribeInstances", "*"),
        PolicyQuestion::of("ec2:DescribeSpotInstanceRequests", "*"),
        tagged("ec2:StopInstances", &here),
        tagged("ec2:StartInstances", &here),
        keys("ec2:CreateTags", &["curfew:last"]),
        keys("ec2:CreateTags", &["curfew:last", "curfew:override"]),
        keys("ec2:DeleteTags", &["curfew:override"]),
        tagged("ec2:ModifyInstanceAttribute", &here)
            .with("ec2:Attribute/InstanceType", "m6i.large"),
        PolicyQuestion::of(
            "ssm:GetParameter",
            &format!("arn:aws:ssm:eu-west-3:{HOME}:parameter/curfew/curfew/configuration"),
        ),
        PolicyQuestion::of(
            "sqs:SendMessage",
            &format!("arn:aws:sqs:eu-west-3:{HOME}:curfew-curfew-work.fifo"),
        ),
        assuming(EXTERNAL_ID),
        PolicyQuestion::of(
            "logs:PutLogEvents",
            &format!(
                "arn:aws:logs:eu-west-3:{HOME}:log-group:/aws/lambda/curfew-curfew:log-stream:a"
            ),
        ),
    ];
    let denied = [
        assuming("another"),
        // Without the tag, elsewhere, or in another account.
        PolicyQuestion::of("ec2:StopInstances", &here),
        PolicyQuestion::of("ec2:StopInstances", &here).with("aws:ResourceTag/Team", "shop"),
        tagged("ec2:StopInstances", &instance(HOME, REGIONS[1])),
        tagged("ec2:StopInstances", &instance("999999999999", REGIONS[0])),
        tagged("ec2:StartInstances", &instance("999999999999", REGIONS[0])),
        // Tags that are not Curfew's, and tags of an instance that is not managed.
        keys("ec2:CreateTags", &["Schedule"]),
        keys("ec2:CreateTags", &["curfew:last", "Name"]),
        keys("ec2:DeleteTags", &["Name"]),
        PolicyQuestion::of("ec2:CreateTags", &here).with("aws:TagKeys", ["curfew:last"].as_slice()),
        // A deletion without tag keys deletes every tag.
        tagged("ec2:DeleteTags", &here),
        // Volumes have tags, too.
        PolicyQuestion::of(
            "ec2:CreateTags",
            &format!("arn:aws:ec2:eu-west-3:{HOME}:volume/vol-0123456789abcdef0"),
        )
        .with("aws:ResourceTag/Schedule", "office")
        .with("aws:TagKeys", ["curfew:last"].as_slice()),
        // User data is executed by the instance.
        tagged("ec2:ModifyInstanceAttribute", &here).with("ec2:Attribute/UserData", "x"),
        tagged("ec2:ModifyInstanceAttribute", &here).with("ec2:Attribute", "UserData"),
        tagged("ec2:TerminateInstances", &here),
        tagged("ec2:RebootInstances", &here),
        PolicyQuestion::of("iam:PassRole", &format!("arn:aws:iam::{HOME}:role/any")),
        PolicyQuestion::of(
            "ssm:GetParameter",
            &format!("arn:aws:ssm:eu-west-3:{HOME}:parameter/curfew/other/configuration"),
        ),
        PolicyQuestion::of(
            "ssm:PutParameter",
            &format!("arn:aws:ssm:eu-west-3:{HOME}:parameter/curfew/curfew/configuration"),
        ),
        PolicyQuestion::of(
            "sqs:SendMessage",
            &format!("arn:aws:sqs:eu-west-3:{HOME}:curfew-other-work"),
        ),
        PolicyQuestion::of(
            "sts:AssumeRole",
            &format!("arn:aws:iam::{MEMBER}:role/admin"),
        ),
        PolicyQuestion::of(
            "sts:AssumeRole",
            "arn:aws:iam::999999999999:role/curfew-member",
        ),
        PolicyQuestion::of(
            "logs:PutLogEvents",
            &format!("arn:aws:logs:eu-west-3:{HOME}:log-group:/aws/lambda/other:log-stream:a"),
        ),
    ];
    simulator.assert_allowed(&role.policies, None, &allowed);
    simulator.assert_denied(&role.policies, None, &denied);
}

#[test]
fn a_member_role_is_limited_to_its_account() {
    const INSTANCE: &str = "arn:aws:ec2:us-east-1:000000000000:instance/i-0123456789abcdef0";
    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let template = Template::read(MEMBER_ROLE, REGIONS[0]);
    let filled = template
        .with("CurfewAccount", HOME)
        .with("ExternalId", EXTERNAL_ID);
    let questions = |action: &str, tags: &[&str]| {
        let question = PolicyQuestion::of(action, INSTANCE).with("aws:TagKeys", tags);
        let other = INSTANCE.replace(HOME, "999999999999");
        let elsewhere = PolicyQuestion::of(action, &other).with("aws:TagKeys", tags);
        (question, elsewhere)
    };
    let tag = "aws:ResourceTag/Schedule";
    for instances in ["tagged", "all"] {
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        for action in ["ec2:CreateTags", "ec2:DeleteTags"] {
            let (ours, elsewhere) = questions(action, &["curfew:last"]);
            let (foreign, _) = questions(action, &["Name"]);
            let nameless = PolicyQuestion::of(action, INSTANCE);
            allowed.push(ours.clone().with(tag, "office"));
            match instances {
                "all" => allowed.push(ours),
                _ => denied.push(ours),
            }
            denied.extend([elsewhere, foreign, nameless].map(|asked| asked.with(tag, "office")));
        }
        let policies = filled
            .clone()
            .with("Instances", instances)
            .role("Role")
            .policies;
        simulator.assert_allowed(&policies, None, &allowed);
        simulator.assert_denied(&policies, None, &denied);
    }
}

/// Only Lambda may assume the role, and the boundary limits it.
#[test]
fn a_permissions_boundary_limits_the_role() {
    let arn = format!("arn:aws:iam::{HOME}:policy/bounds");
    let bounded = stack().with("PermissionsBoundary", &arn).role("Role");
    assert_eq!(bounded.boundary.as_deref(), Some(arn.as_str()));
    assert_eq!(own_role().boundary, None);
    assert_eq!(
        bounded.trust["Statement"],
        json!([{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}])
    );

    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let boundary = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:StopInstances"], "Resource": "*"},
    ]});
    let instance = format!("arn:aws:ec2:eu-west-3:{HOME}:instance/i-0123456789abcdef0");
    let asked = |action: &str| {
        PolicyQuestion::of(action, &instance).with("aws:ResourceTag/Schedule", "office")
    };
    simulator.assert_allowed(
        &bounded.policies,
        Some(&boundary),
        &[asked("ec2:StopInstances")],
    );
    simulator.assert_denied(
        &bounded.policies,
        Some(&boundary),
        &[asked("ec2:StartInstances")],
    );
}

/// Deployed by hand with default parameters: instances with the tag `Schedule` in the stack's own account and region.
#[test]
fn the_template_defaults_are_as_restrictive() {
    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let policies = Template::read(STACK, REGIONS[0]).role("Role").policies;
    let asked = |region: &str, account: &str| {
        let arn = format!("arn:aws:ec2:{region}:{account}:instance/i-0123456789abcdef0");
        PolicyQuestion::of("ec2:StopInstances", &arn)
    };
    let tagged = |question: PolicyQuestion| question.with("aws:ResourceTag/Schedule", "office");
    simulator.assert_allowed(&policies, None, &[tagged(asked(REGIONS[0], HOME))]);
    let denied = [
        asked(REGIONS[0], HOME),
        tagged(asked(REGIONS[1], HOME)),
        tagged(asked(REGIONS[0], "999999999999")),
        PolicyQuestion::of(
            "sts:AssumeRole",
            &format!("arn:aws:iam::{MEMBER}:role/curfew-member"),
        ),
    ];
    simulator.assert_denied(&policies, None, &denied);
}

#[test]
fn key_grants_are_limited_to_aws_services_and_licenses_to_starts() {
    let Ok(simulator) = PolicySimulator::find() else {
        return;
    };
    let key = |id: &str| format!("arn:aws:kms:{}:{MEMBER}:key/{id}", REGIONS[0]);
    let license = |id: &str| {
        format!(
            "arn:aws:license-manager:{}:{HOME}:license-configuration:lic-{id}",
            REGIONS[0]
        )
    };
    let account_region = Template::read(MEMBER_ROLE, REGIONS[0])
        .with("CurfewAccount", HOME)
        .with("ExternalId", EXTERNAL_ID)
        .with("KmsKeys", &format!("{},{}", key("1a"), key("1b")))
        .with("Licenses", &license("0a"));
    // The statement that `curfew deploy` adds to the policy of the stack's role; the tests of the deploy crate compare it.
    let statements = json!([
        {"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": [key("1a"), key("1b")],
         "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}},
        {"Effect": "Allow", "Action": "ec2:StartInstances", "Resource": [license("0a")]},
    ]);
    let statements = statements.as_array().unwrap().iter().map(Value::to_string);
    let own = stack().with("FleetPolicy", &statements.collect::<Vec<_>>().join(","));
    let grant = |arn: &str| PolicyQuestion::of("kms:CreateGrant", arn).with_default_key_policy();
    for policies in [
        account_region.role("Role").policies,
        own.role("Role").policies,
    ] {
        let allowed = [
            grant(&key("1a")).with("kms:GrantIsForAWSResource", "true"),
            grant(&key("1b")).with("kms:GrantIsForAWSResource", "true"),
            PolicyQuestion::of("ec2:StartInstances", &license("0a")),
        ];
        let denied = [
            grant(&key("1a")),
            grant(&key("1a")).with("kms:GrantIsForAWSResource", "false"),
            grant(&key("2c")).with("kms:GrantIsForAWSResource", "true"),
            PolicyQuestion::of("kms:Decrypt", &key("1a")).with_default_key_policy(),
            PolicyQuestion::of("ec2:StartInstances", &license("0b")),
        ];
        simulator.assert_allowed(&policies, None, &allowed);
        simulator.assert_denied(&policies, None, &denied);
    }
}
