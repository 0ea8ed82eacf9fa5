//! The managed accounts and regions in the configuration.

use curfew_core::account_regions::{RoleArn, Targets};
use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::Region;

fn raw(text: &str) -> RawScheduleSet {
    toml::from_str(text).unwrap()
}

fn targets(text: &str) -> Targets {
    raw(text).targets().unwrap()
}

fn account_regions(text: &str) -> Vec<String> {
    let home = Region::new("us-east-1");
    let account_regions = targets(text).account_regions(&home).into_iter();
    account_regions
        .map(|account_region| account_region.to_string())
        .collect()
}

/// Returns all problems of `text`, one a line.
fn problems(text: &str) -> String {
    let problems = raw(text).targets().unwrap_err().into_iter();
    let lines: Vec<String> = problems.map(|problem| problem.to_string()).collect();
    lines.join("\n")
}

const PAYMENTS: &str = r#"
    [[account]]
    id = "111122223333"
    role_arn = "arn:aws:iam::111122223333:role/curfew-member"
    regions = ["eu-west-3", "eu-central-1"]
"#;

#[test]
fn without_configuration_the_home_region_is_the_only_target() {
    assert_eq!(account_regions(""), ["us-east-1"]);
}

#[test]
fn the_own_account_comes_first_and_only_with_its_configured_regions() {
    assert_eq!(
        account_regions(&format!(
            "[managing]\nregions = ['eu-west-1', 'eu-west-2']\n{PAYMENTS}"
        )),
        [
            "eu-west-1",
            "eu-west-2",
            "eu-west-3 of account 111122223333",
            "eu-central-1 of account 111122223333"
        ]
    );
}

#[test]
fn an_empty_list_of_regions_excludes_the_own_account() {
    assert_eq!(
        account_regions(&format!("[managing]\nregions = []\n{PAYMENTS}")),
        [
            "eu-west-3 of account 111122223333",
            "eu-central-1 of account 111122223333"
        ]
    );
    insta::assert_snapshot!(problems("[managing]\nregions = []"), @"`managing.regions`: no region and no account is named, so nothing would be managed; name one, or leave this out");
}

#[test]
fn all_problems_are_reported_with_their_place() {
    let text = r#"
        [managing]
        regions = ["eu-west-3", "Paris", "eu-west-3"]

        [[account]]
        id = "1111-2222-3333"
        role_arn = "curfew-member"
        external_id = "ü"
        regions = []

        [[account]]
        id = "111122223333"
        name = "payments"
        role_arn = "arn:aws:iam::444455556666:role/curfew-member"
        regions = ["eu_west_3"]

        [[account]]
        id = "111122223333"
        name = "payments"
        role_arn = "arn:aws:iam::111122223333:role/curfew-member"
        regions = ["eu-west-3"]

        [[account]]
        id = "777788889999"
        name = " shop"
        role_arn = "arn:aws:iam::777788889999:user/curfew"
        regions = ["us-gov-east-1"]
    "#;
    insta::assert_snapshot!(problems(text), @r"
    `managing.regions[1]`: `Paris` is not a region, such as `eu-west-3`
    `managing.regions[2]`: `eu-west-3` is named twice
    `account[0].id`: `1111-2222-3333` is not an account's id: twelve digits
    `account[0].role_arn`: `curfew-member` is not a role's ARN, such as `arn:aws:iam::111122223333:role/curfew-member`
    `account[0].external_id`: an external id has 2 to 1224 letters, digits and `+=,.@:/-_`
    `account[0].regions`: an account needs at least one region; its instances are only looked for where you say
    `account[1].role_arn`: the role is in the account `444455556666`, not in `111122223333`
    `account[1].regions[0]`: `eu_west_3` is not a region, such as `eu-west-3`
    `account[2].id`: the account `111122223333` is named twice; give it all its regions in one place
    `account[2].name`: two accounts are called `payments`
    `account[3].name`: a name has 1 to 64 characters, without spaces around them
    `account[3].role_arn`: `arn:aws:iam::777788889999:user/curfew` is not a role's ARN, such as `arn:aws:iam::111122223333:role/curfew-member`
    ");
}

#[test]
fn the_document_has_the_same_targets() {
    let written = raw(&format!("[managing]\nregions = ['eu-west-1']\n{PAYMENTS}"));
    let read = RawScheduleSet::from_json(&written.to_json()).unwrap();
    assert_eq!(read.targets(), written.targets());
    assert_eq!(
        raw("").to_json(),
        r#"{"version":"1.0","managing":{"tag":"Schedule"},"schedules":{}}"#
    );
}

#[test]
fn a_role_arn_may_have_a_path_and_another_partition() {
    let role: RoleArn = "arn:aws-cn:iam::111122223333:role/ops/curfew-member"
        .parse()
        .unwrap();
    assert_eq!(role.account().as_str(), "111122223333");
    assert_eq!(
        role.in_any_account(),
        "arn:aws-cn:iam::*:role/ops/curfew-member"
    );
    for bad in [
        "",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/ops/",
        "arn:aws:iam:eu-west-3:111122223333:role/x",
        "arn:aws:sts::111122223333:assumed-role/x/y",
        "arn:aws:iam::1111:role/x",
        "arn:gcp:iam::111122223333:role/x",
        "arn:aws:iam::111122223333:role/a b",
        "arn:aws:iam::111122223333:role/a*",
    ] {
        assert!(bad.parse::<RoleArn>().is_err(), "{bad}");
    }
}
