//! IAM policy statements that limit the Lambda to the instances that the schedules manage.

use std::collections::BTreeSet;

use curfew_core::account_regions::{RoleArn, Targets};
use curfew_core::instance::Region;
use curfew_core::schedule::{Matcher, Pattern};
use curfew_core::schedule_set::ScheduleSet;
use serde_json::{Map, Value, json};

use super::MAX_PARAMETER_LENGTH;
use super::caller_account::CallerAccount;

/// The instances that the schedules manage, and what starting them needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LambdaRolePolicy {
    /// The key of the tag that names a schedule: `Schedule`.
    pub tag: String,
    /// The `match` tables of the schedules.
    pub matchers: Vec<Matcher>,
    /// Whether the Lambda may change instance types.
    pub type_change: TypeChange,
    /// The regions of the deployment's account; empty for the region of the deployment.
    pub regions: Vec<Region>,
    /// The roles in other accounts.
    pub roles: Vec<RoleArn>,
    /// The ARNs of the KMS keys of the instances' volumes.
    pub kms_keys: Vec<String>,
    /// The ARNs of the instances' license configurations.
    pub licenses: Vec<String>,
}

/// Whether the Lambda may change instance types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TypeChange {
    /// No schedule has fallback types.
    #[default]
    Never,
    /// A start may use another type while EC2 lacks capacity.
    Fallback,
}

impl LambdaRolePolicy {
    /// Returns the scope of these schedules, in the deployment's account and region.
    pub fn of(schedule_set: &ScheduleSet) -> Self {
        let schedules = || schedule_set.schedules.values();
        let keeps = schedules().all(|schedule| schedule.fallback_types.is_empty());
        Self {
            tag: schedule_set.tag.clone(),
            matchers: schedules()
                .map(|schedule| schedule.matcher.clone())
                .collect(),
            type_change: if keeps {
                TypeChange::Never
            } else {
                TypeChange::Fallback
            },
            ..Self::default()
        }
    }

    /// Sets the accounts and regions.
    #[must_use]
    pub fn in_targets(self, targets: &Targets) -> Self {
        let accounts = targets.accounts.iter();
        Self {
            regions: targets.regions.clone().unwrap_or_default(),
            roles: accounts.map(|account| account.role.clone()).collect(),
            ..self
        }
    }
}

impl LambdaRolePolicy {
    /// Adds the keys and licenses that instances need to start.
    #[must_use]
    pub fn with_start_permissions(self, kms_keys: &[String], licenses: &[String]) -> Self {
        Self {
            kms_keys: kms_keys.to_vec(),
            licenses: licenses.to_vec(),
            ..self
        }
    }

    /// Returns the policy statements, separated by commas, for the template's parameter `FleetPolicy`. `home` is the deployment's region.
    pub(super) fn policy_statements(&self, account: &CallerAccount, home: &str) -> String {
        let regions = match self.regions.as_slice() {
            [] => vec![home],
            several => several.iter().map(Region::as_str).collect(),
        };
        let arns = |id: &str| {
            let (partition, account) = (&account.partition, &account.id);
            let arn = |region| format!("arn:{partition}:ec2:{region}:{account}:instance/{id}");
            regions.iter().map(arn).collect::<Vec<_>>()
        };
        let mut statements = Vec::new();
        let mut grant = |resources: Vec<String>, like: Option<Map<String, Value>>| {
            let mut start_stop = json!({
                "Effect": "Allow",
                "Action": ["ec2:StartInstances", "ec2:StopInstances"],
                "Resource": resources,
            });
            // State tags only. `Null` denies a request without tag keys, which `ForAllValues` would allow and which deletes all tags.
            let mut tag_state = json!({
                "Effect": "Allow",
                "Action": ["ec2:CreateTags", "ec2:DeleteTags"],
                "Resource": resources,
                "Condition": {
                    "ForAllValues:StringLike": { "aws:TagKeys": "curfew:*" },
                    "Null": { "aws:TagKeys": "false" },
                },
            });
            // Only the instance type: user data would allow running programs on the instance.
            let mut change_type = json!({
                "Effect": "Allow",
                "Action": "ec2:ModifyInstanceAttribute",
                "Resource": resources,
                "Condition": { "StringLike": { "ec2:Attribute/InstanceType": "*" } },
            });
            if let Some(like) = like {
                start_stop["Condition"]["StringLike"] = like.clone().into();
                tag_state["Condition"]["StringLike"] = like.clone().into();
                for (key, value) in like {
                    change_type["Condition"]["StringLike"][key] = value;
                }
            }
            statements.extend([start_stop.to_string(), tag_state.to_string()]);
            if self.type_change == TypeChange::Fallback {
                statements.push(change_type.to_string());
            }
        };
        let tag_key = |key: &str| format!("aws:ResourceTag/{key}");
        let any = Map::from_iter([(tag_key(&self.tag), json!("*"))]);
        grant(arns("*"), Some(any));
        let ids = self.matchers.iter().flat_map(|matcher| &matcher.ids);
        let ids: Vec<_> = ids.flat_map(|id| arns(id.as_str())).collect();
        if !ids.is_empty() {
            grant(ids, None);
        }
        for matcher in self.matchers.iter().filter(|m| !m.tags.is_empty()) {
            let tags = matcher.tags.iter();
            let like = tags.map(|(key, pattern)| (tag_key(key), json!(iam_pattern(pattern))));
            grant(arns("*"), Some(like.collect()));
        }
        if !self.kms_keys.is_empty() {
            // EC2 creates the grant for the volumes' key with the caller's permissions. The condition limits grants to AWS services: the
            // function can't grant the use of a key to any other principal.
            // <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html>
            let grant_key = json!({
                "Effect": "Allow",
                "Action": "kms:CreateGrant",
                "Resource": self.kms_keys,
                "Condition": { "Bool": { "kms:GrantIsForAWSResource": "true" } },
            });
            statements.push(grant_key.to_string());
        }
        if !self.licenses.is_empty() {
            // Starting an instance with a license configuration needs the permission for both resources.
            // <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>
            let use_license = json!({
                "Effect": "Allow",
                "Action": "ec2:StartInstances",
                "Resource": self.licenses,
            });
            statements.push(use_license.to_string());
        }
        statements.join(",")
    }

    /// Whether one of the roles is in `account`.
    pub(super) fn has_role_in(&self, account: &CallerAccount) -> bool {
        let mut roles = self.roles.iter();
        roles.any(|role| role.account().as_str() == account.id)
    }

    /// Returns the ARNs of the roles that the Lambda may assume, separated by commas, for the template's parameter `MemberRoles`. If the
    /// list is too long, returns their names in any account: the roles' trust policies and external ids still limit access.
    pub(super) fn role_arns(&self) -> String {
        let listed = |arns: BTreeSet<String>| arns.into_iter().collect::<Vec<_>>().join(",");
        let exact = listed(self.roles.iter().map(ToString::to_string).collect());
        if exact.len() <= MAX_PARAMETER_LENGTH {
            return exact;
        }
        listed(self.roles.iter().map(RoleArn::in_any_account).collect())
    }
}

/// Converts a pattern to IAM syntax, which has the same wildcards and different escapes.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars>
fn iam_pattern(pattern: &Pattern) -> String {
    let mut characters = pattern.as_str().chars();
    let mut words = String::new();
    while let Some(character) = characters.next() {
        let literal = match character {
            '*' | '?' => {
                words.push(character);
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        match literal {
            '*' | '?' | '$' => words.extend(['$', '{', literal, '}']),
            other => words.push(other),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> CallerAccount {
        CallerAccount {
            id: "123456789012".to_owned(),
            partition: "aws".to_owned(),
        }
    }

    fn statements(lambda_role_policy: &LambdaRolePolicy) -> Vec<Value> {
        let text = lambda_role_policy.policy_statements(&account(), "eu-west-3");
        serde_json::from_str(&format!("[{text}]")).unwrap()
    }

    #[test]
    fn only_managed_instances_are_in_scope() {
        let mut by_tag = Matcher::default();
        by_tag
            .tags
            .insert("Environment".to_owned(), Pattern::new("dev*"));
        let lambda_role_policy = LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            matchers: vec![by_tag],
            type_change: TypeChange::Never,
            ..LambdaRolePolicy::default()
        };
        let statements = statements(&lambda_role_policy);
        let acting: Vec<_> = statements
            .iter()
            .filter(|s| s["Action"][0] == "ec2:StartInstances")
            .map(|s| s["Condition"]["StringLike"].to_string())
            .collect();
        assert_eq!(
            acting,
            [
                r#"{"aws:ResourceTag/Schedule":"*"}"#,
                r#"{"aws:ResourceTag/Environment":"dev*"}"#
            ]
        );
        for statement in &statements {
            assert_eq!(
                statement["Resource"],
                json!(["arn:aws:ec2:eu-west-3:123456789012:instance/*"])
            );
            if statement["Action"][0] == "ec2:CreateTags" {
                let keys = &statement["Condition"]["ForAllValues:StringLike"]["aws:TagKeys"];
                assert_eq!(keys, "curfew:*");
            }
        }
    }

    #[test]
    fn fallback_types_allow_changing_the_instance_type_and_no_other_attribute() {
        let mut lambda_role_policy = LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            ..LambdaRolePolicy::default()
        };
        let changing = |lambda_role_policy: &LambdaRolePolicy| {
            let mut statements = statements(lambda_role_policy);
            statements.retain(|one| one["Action"] == "ec2:ModifyInstanceAttribute");
            statements
        };
        assert!(changing(&lambda_role_policy).is_empty());
        lambda_role_policy.type_change = TypeChange::Fallback;
        let found = changing(&lambda_role_policy);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0]["Condition"]["StringLike"],
            json!({ "ec2:Attribute/InstanceType": "*", "aws:ResourceTag/Schedule": "*" })
        );
    }

    /// The Lambda's tests evaluate this policy with an independent evaluator and with the model of EC2.
    #[test]
    fn the_policy_in_the_lambdas_tests_is_the_deployed_one() {
        let lambda_role_policy = LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            type_change: TypeChange::Fallback,
            regions: vec![Region::new("eu-west-3")],
            ..LambdaRolePolicy::default()
        };
        let account = CallerAccount {
            id: "000000000000".to_owned(),
            ..account()
        };
        let deployed = format!(
            "[{}]",
            lambda_role_policy.policy_statements(&account, "eu-west-3")
        );
        let deployed: Vec<Value> = serde_json::from_str(&deployed).unwrap();
        let tested = include_str!("../../../lambda/tests/queue/fleet-policy.json");
        let tested: Vec<Value> = serde_json::from_str(tested).unwrap();
        assert_eq!(tested, deployed);
    }

    #[test]
    fn instances_matched_by_id_need_no_tag() {
        let lambda_role_policy = LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            matchers: vec![Matcher {
                ids: vec!["i-0123456789abcdef0".parse().unwrap()],
                ..Matcher::default()
            }],
            type_change: TypeChange::Never,
            ..LambdaRolePolicy::default()
        };
        let statement = &statements(&lambda_role_policy)[2];
        assert_eq!(
            statement["Resource"],
            json!(["arn:aws:ec2:eu-west-3:123456789012:instance/i-0123456789abcdef0"])
        );
        assert_eq!(statement["Condition"], Value::Null);
    }

    #[test]
    fn the_scope_has_every_region_of_the_account() {
        let lambda_role_policy = LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            regions: vec![Region::new("eu-west-1"), Region::new("us-east-1")],
            ..LambdaRolePolicy::default()
        };
        assert_eq!(
            statements(&lambda_role_policy)[0]["Resource"],
            json!([
                "arn:aws:ec2:eu-west-1:123456789012:instance/*",
                "arn:aws:ec2:us-east-1:123456789012:instance/*"
            ])
        );
    }

    #[test]
    fn roles_are_listed_if_they_fit_and_are_else_a_wildcard() {
        let of = |count: u64| LambdaRolePolicy {
            roles: (0..count)
                .map(|number| format!("arn:aws:iam::{number:012}:role/curfew-member"))
                .map(|arn| arn.parse().unwrap())
                .collect(),
            ..LambdaRolePolicy::default()
        };
        assert_eq!(of(0).role_arns(), "");
        assert_eq!(
            of(2).role_arns(),
            "arn:aws:iam::000000000000:role/curfew-member,arn:aws:iam::000000000001:role/curfew-member"
        );
        assert_eq!(of(90).role_arns().split(',').count(), 90);
        assert_eq!(of(500).role_arns(), "arn:aws:iam::*:role/curfew-member");
    }

    #[test]
    fn keys_are_granted_to_aws_services_only_and_licenses_allow_starts_only() {
        let key = "arn:aws:kms:eu-west-3:123456789012:key/1234abcd";
        let license = "arn:aws:license-manager:eu-west-3:123456789012:license-configuration:lic-0a";
        let lambda_role_policy = LambdaRolePolicy {
            tag: "Schedule".to_owned(),
            ..LambdaRolePolicy::default()
        };
        let plain = statements(&lambda_role_policy).len();
        let lambda_role_policy =
            lambda_role_policy.with_start_permissions(&[key.to_owned()], &[license.to_owned()]);
        assert_eq!(
            statements(&lambda_role_policy)[plain..],
            [
                json!({
                    "Effect": "Allow", "Action": "kms:CreateGrant", "Resource": [key],
                    "Condition": { "Bool": { "kms:GrantIsForAWSResource": "true" } },
                }),
                json!({ "Effect": "Allow", "Action": "ec2:StartInstances", "Resource": [license] }),
            ]
        );
    }

    #[test]
    fn literal_wildcards_stay_literal() {
        assert_eq!(iam_pattern(&Pattern::new(r"a*\*?$")), "a*${*}?${$}");
    }
}
