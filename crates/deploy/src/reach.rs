//! Which instances the Lambda may start, stop and tag: the ones that the schedules manage, said in IAM's words.

use std::collections::BTreeSet;

use curfew_core::account_regions::{RoleArn, Targets};
use curfew_core::instance::Region;
use curfew_core::schedule::{Matcher, Pattern};
use curfew_core::schedule_set::ScheduleSet;
use serde_json::{Map, Value, json};

use super::LONGEST_PARAMETER;
use super::place::Account;

/// The instances that the schedules manage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The key of the tag that names a schedule: `Schedule`.
    pub tag: String,
    /// The schedules' own claims.
    pub matchers: Vec<Matcher>,
    /// Whether any schedule has types to fall back to.
    pub types: Types,
    /// The own account's regions; none for the one that is deployed into.
    pub regions: Vec<Region>,
    /// The roles in other accounts.
    pub roles: Vec<RoleArn>,
    /// The ARNs of the KMS keys of the instances' volumes.
    pub kms_keys: Vec<String>,
    /// The ARNs of the instances' license configurations.
    pub licenses: Vec<String>,
}

/// What the schedules may do with the instances' types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Types {
    /// Nothing.
    #[default]
    Kept,
    /// Start with another while there is no room.
    Changed,
}

impl Reach {
    /// What these schedules need.
    pub fn of(schedule_set: &ScheduleSet) -> Self {
        let schedules = || schedule_set.schedules.values();
        let keeps = schedules().all(|schedule| schedule.fallback_types.is_empty());
        Self {
            tag: schedule_set.tag.clone(),
            matchers: schedules()
                .map(|schedule| schedule.matcher.clone())
                .collect(),
            types: if keeps { Types::Kept } else { Types::Changed },
            ..Self::default()
        }
    }

    /// The same in these accounts and regions.
    #[must_use]
    pub fn across(self, targets: &Targets) -> Self {
        let accounts = targets.accounts.iter();
        Self {
            regions: targets.regions.clone().unwrap_or_default(),
            roles: accounts.map(|account| account.role.clone()).collect(),
            ..self
        }
    }
}

impl Reach {
    /// The same with what these instances need besides to start.
    #[must_use]
    pub fn starting_with(self, kms_keys: &[String], licenses: &[String]) -> Self {
        Self {
            kms_keys: kms_keys.to_vec(),
            licenses: licenses.to_vec(),
            ..self
        }
    }

    /// Policy statements, separated by commas: the template's parameter `FleetPolicy`.
    pub(super) fn statements(&self, account: &Account, home: &str) -> String {
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
            let mut act = json!({
                "Effect": "Allow",
                "Action": ["ec2:StartInstances", "ec2:StopInstances"],
                "Resource": resources,
            });
            // Curfew's memory is in tags of its own; it may write no others. Nor delete all by naming none, for which "for all
            // values" would hold.
            let mut remember = json!({
                "Effect": "Allow",
                "Action": ["ec2:CreateTags", "ec2:DeleteTags"],
                "Resource": resources,
                "Condition": {
                    "ForAllValues:StringLike": { "aws:TagKeys": "curfew:*" },
                    "Null": { "aws:TagKeys": "false" },
                },
            });
            // No other attribute: user data would allow running programs on the instance.
            let mut change = json!({
                "Effect": "Allow",
                "Action": "ec2:ModifyInstanceAttribute",
                "Resource": resources,
                "Condition": { "StringLike": { "ec2:Attribute/InstanceType": "*" } },
            });
            if let Some(like) = like {
                act["Condition"]["StringLike"] = like.clone().into();
                remember["Condition"]["StringLike"] = like.clone().into();
                for (key, value) in like {
                    change["Condition"]["StringLike"][key] = value;
                }
            }
            statements.extend([act.to_string(), remember.to_string()]);
            if self.types == Types::Changed {
                statements.push(change.to_string());
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
            let like = tags.map(|(key, pattern)| (tag_key(key), json!(in_iam_words(pattern))));
            grant(arns("*"), Some(like.collect()));
        }
        if !self.kms_keys.is_empty() {
            // EC2 starts an instance in its caller's name, and gets a grant for the volumes' key in that name, too. Only for
            // EC2 or another AWS service: the function can't grant the use of a key to any other principal.
            // <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html>
            let own_use = json!({
                "Effect": "Allow",
                "Action": "kms:CreateGrant",
                "Resource": self.kms_keys,
                "Condition": { "Bool": { "kms:GrantIsForAWSResource": "true" } },
            });
            statements.push(own_use.to_string());
        }
        if !self.licenses.is_empty() {
            // The start of an instance is a use of its license, too.
            // <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>
            let use_of = json!({
                "Effect": "Allow",
                "Action": "ec2:StartInstances",
                "Resource": self.licenses,
            });
            statements.push(use_of.to_string());
        }
        statements.join(",")
    }

    /// Whether one of the roles is in this account.
    pub(super) fn enters(&self, account: &Account) -> bool {
        let mut roles = self.roles.iter();
        roles.any(|role| role.account().as_str() == account.id)
    }

    /// The roles that may be assumed, separated by commas: the template's parameter `MemberRoles`. Where they are too many to
    /// be listed, their names in any account: a role's own trust policy and external id still decide.
    pub(super) fn roles(&self) -> String {
        let listed = |arns: BTreeSet<String>| arns.into_iter().collect::<Vec<_>>().join(",");
        let exact = listed(self.roles.iter().map(ToString::to_string).collect());
        if exact.len() <= LONGEST_PARAMETER {
            return exact;
        }
        listed(self.roles.iter().map(RoleArn::in_any_account).collect())
    }
}

/// IAM has the same wildcards and another way of writing them literally.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars>
fn in_iam_words(pattern: &Pattern) -> String {
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

    fn account() -> Account {
        Account {
            id: "123456789012".to_owned(),
            partition: "aws".to_owned(),
        }
    }

    fn statements(reach: &Reach) -> Vec<Value> {
        let text = reach.statements(&account(), "eu-west-3");
        serde_json::from_str(&format!("[{text}]")).unwrap()
    }

    #[test]
    fn only_managed_instances_are_within_reach() {
        let mut by_tag = Matcher::default();
        by_tag
            .tags
            .insert("Environment".to_owned(), Pattern::new("dev*"));
        let reach = Reach {
            tag: "Schedule".to_owned(),
            matchers: vec![by_tag],
            types: Types::Kept,
            ..Reach::default()
        };
        let statements = statements(&reach);
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
    fn types_are_within_reach_where_a_schedule_falls_back_and_nothing_else_of_an_instance_is() {
        let mut reach = Reach {
            tag: "Schedule".to_owned(),
            ..Reach::default()
        };
        let changing = |reach: &Reach| {
            let mut statements = statements(reach);
            statements.retain(|one| one["Action"] == "ec2:ModifyInstanceAttribute");
            statements
        };
        assert!(changing(&reach).is_empty());
        reach.types = Types::Changed;
        let found = changing(&reach);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0]["Condition"]["StringLike"],
            json!({ "ec2:Attribute/InstanceType": "*", "aws:ResourceTag/Schedule": "*" })
        );
    }

    /// The Lambda's tests ask an independent evaluator what this policy allows, and the model of EC2 whether it is enough.
    #[test]
    fn the_policy_that_the_lambda_is_tested_with_is_the_one_that_is_deployed() {
        let reach = Reach {
            tag: "Schedule".to_owned(),
            types: Types::Changed,
            regions: vec![Region::new("eu-west-3")],
            ..Reach::default()
        };
        let account = Account {
            id: "000000000000".to_owned(),
            ..account()
        };
        let deployed = format!("[{}]", reach.statements(&account, "eu-west-3"));
        let deployed: Vec<Value> = serde_json::from_str(&deployed).unwrap();
        let tested = include_str!("../../../lambda/tests/queue/fleet-policy.json");
        let tested: Vec<Value> = serde_json::from_str(tested).unwrap();
        assert_eq!(tested, deployed);
    }

    #[test]
    fn instances_named_by_id_are_within_reach_by_id_alone() {
        let reach = Reach {
            tag: "Schedule".to_owned(),
            matchers: vec![Matcher {
                ids: vec!["i-0123456789abcdef0".parse().unwrap()],
                ..Matcher::default()
            }],
            types: Types::Kept,
            ..Reach::default()
        };
        let statement = &statements(&reach)[2];
        assert_eq!(
            statement["Resource"],
            json!(["arn:aws:ec2:eu-west-3:123456789012:instance/i-0123456789abcdef0"])
        );
        assert_eq!(statement["Condition"], Value::Null);
    }

    #[test]
    fn every_region_of_the_own_account_is_within_reach() {
        let reach = Reach {
            tag: "Schedule".to_owned(),
            regions: vec![Region::new("eu-west-1"), Region::new("us-east-1")],
            ..Reach::default()
        };
        assert_eq!(
            statements(&reach)[0]["Resource"],
            json!([
                "arn:aws:ec2:eu-west-1:123456789012:instance/*",
                "arn:aws:ec2:us-east-1:123456789012:instance/*"
            ])
        );
    }

    #[test]
    fn roles_are_listed_one_by_one_as_long_as_they_fit() {
        let of = |count: u64| Reach {
            roles: (0..count)
                .map(|number| format!("arn:aws:iam::{number:012}:role/curfew-member"))
                .map(|arn| arn.parse().unwrap())
                .collect(),
            ..Reach::default()
        };
        assert_eq!(of(0).roles(), "");
        assert_eq!(
            of(2).roles(),
            "arn:aws:iam::000000000000:role/curfew-member,arn:aws:iam::000000000001:role/curfew-member"
        );
        assert_eq!(of(90).roles().split(',').count(), 90);
        assert_eq!(of(500).roles(), "arn:aws:iam::*:role/curfew-member");
    }

    #[test]
    fn keys_are_granted_to_services_of_aws_only_and_licenses_to_starts_only() {
        let key = "arn:aws:kms:eu-west-3:123456789012:key/1234abcd";
        let license = "arn:aws:license-manager:eu-west-3:123456789012:license-configuration:lic-0a";
        let reach = Reach {
            tag: "Schedule".to_owned(),
            ..Reach::default()
        };
        let plain = statements(&reach).len();
        let reach = reach.starting_with(&[key.to_owned()], &[license.to_owned()]);
        assert_eq!(
            statements(&reach)[plain..],
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
        assert_eq!(in_iam_words(&Pattern::new(r"a*\*?$")), "a*${*}?${$}");
    }
}
