//! Finds other deployments, and the accounts and regions that two deployments would both manage.
//!
//! The search covers the deployment's account, in the region of the deployment and in those that the configuration names. Deployments in
//! other regions or accounts are not found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_core::account_regions::{AccountRegion, Targets};
use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::Region;
use curfew_core::stack_name::StackName;

use super::caller_account::CallerAccount;
use super::configuration::ConfigurationParameter;
use super::stack::Stack;

/// A region of an account that a deployment manages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagedAccountRegion {
    pub(super) account: String,
    pub(super) region: String,
}

impl ManagedAccountRegion {
    /// Names the account, which is `own` if `account_region` names none.
    pub(super) fn of(account_region: &AccountRegion, own: &str) -> Self {
        let account = account_region.account.as_ref();
        Self {
            account: account.map_or(own, |id| id.as_str()).to_owned(),
            region: account_region.region.as_str().to_owned(),
        }
    }
}

/// The accounts and regions that a deployment manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManagedRegions {
    /// The set, read from its configuration.
    Known(BTreeSet<ManagedAccountRegion>),
    /// Its configuration can't be read, with the reason.
    Unknown(String),
}

/// Another deployment of Curfew.
#[derive(Clone, Debug)]
pub(super) struct OtherStack {
    pub(super) stack: StackName,
    /// The region of the deployment.
    pub(super) home: String,
    pub(super) manages: ManagedRegions,
}

/// The other deployments that the search found.
#[derive(Debug, Default)]
pub(super) struct OtherStacks {
    pub(super) found: Vec<OtherStack>,
    /// Regions in which the search failed.
    pub(super) unreachable: Vec<(String, CloudError)>,
}

/// Returns the accounts and regions of `targets`, for a deployment in this account and region.
fn managed(targets: &Targets, account: &str, home: &str) -> BTreeSet<ManagedAccountRegion> {
    let account_regions = targets.account_regions(&Region::new(home));
    account_regions
        .iter()
        .map(|account_region| ManagedAccountRegion::of(account_region, account))
        .collect()
}

/// Returns the accounts and regions that a configuration document names.
pub(super) fn managed_by_document(document: &str, account: &str, home: &str) -> ManagedRegions {
    let raw = match RawScheduleSet::from_json(document) {
        Ok(raw) => raw,
        Err(error) => return ManagedRegions::Unknown(error.to_string()),
    };
    match raw.targets() {
        Ok(targets) => ManagedRegions::Known(managed(&targets, account, home)),
        Err(problems) => ManagedRegions::Unknown(
            problems
                .first()
                .map_or_else(String::new, ToString::to_string),
        ),
    }
}

/// Returns the accounts and regions of the stack's published configuration; none if nothing is published.
pub(super) async fn managed_by_stack(
    conn: &Connection,
    stack: &StackName,
    account: &str,
) -> Option<ManagedRegions> {
    match ConfigurationParameter::new(conn, stack).read().await {
        Ok(None) => None,
        Ok(Some(Ok(document))) => Some(managed_by_document(&document, account, conn.region())),
        Ok(Some(Err(_))) => Some(ManagedRegions::Unknown(
            "its configuration is damaged".to_owned(),
        )),
        Err(error) => Some(ManagedRegions::Unknown(error.to_string())),
    }
}

impl OtherStacks {
    /// Finds deployments other than `own` in the connection's region and in the account's regions among `account_regions`. Records
    /// denied calls, and failures in other regions, as unreachable; other errors are returned.
    pub(super) async fn find(
        conn: &Connection,
        own: &StackName,
        account: &CallerAccount,
        account_regions: &BTreeSet<ManagedAccountRegion>,
    ) -> Result<Self, CloudError> {
        let home = conn.region().to_owned();
        let own_regions = account_regions
            .iter()
            .filter(|account_region| account_region.account == account.id);
        let mut regions: BTreeSet<_> = own_regions
            .map(|account_region| account_region.region.clone())
            .collect();
        regions.insert(home.clone());
        let mut other_stacks = Self::default();
        for region in regions {
            let regional = conn.in_region(&region);
            let names = match Stack::new(&regional, own).all().await {
                Ok(names) => names,
                Err(error) if region != home || error.kind == CloudErrorKind::Denied => {
                    other_stacks.unreachable.push((region, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for stack in names {
                if region == home && stack == *own {
                    continue;
                }
                // A deployment without a configuration manages nothing yet.
                if let Some(manages) = managed_by_stack(&regional, &stack, &account.id).await {
                    other_stacks.found.push(OtherStack {
                        stack,
                        home: region.clone(),
                        manages,
                    });
                }
            }
        }
        Ok(other_stacks)
    }

    /// Returns one sentence for each deployment that manages some of these accounts and regions.
    pub(super) fn overlaps(&self, account_regions: &BTreeSet<ManagedAccountRegion>) -> Vec<String> {
        let sentence = |other: &OtherStack| match &other.manages {
            _ if account_regions.is_empty() => None,
            ManagedRegions::Unknown(why) => Some(format!(
                "{other} may manage the same, but its configuration can't be read: {why}"
            )),
            ManagedRegions::Known(theirs) => {
                let shared: BTreeSet<_> = theirs.intersection(account_regions).collect();
                (!shared.is_empty()).then(|| format!("{other} manages {}", listed(shared)))
            }
        };
        self.found.iter().filter_map(sentence).collect()
    }

    /// Returns why the state tags in an account and region have to stay; none if no other deployment manages it.
    pub(super) fn reason_to_keep_tags(
        &self,
        account_region: &ManagedAccountRegion,
    ) -> Option<String> {
        if let Some((region, error)) = self.unreachable.first() {
            return Some(format!(
                "because they may belong to another deployment, and the search in {region} failed: {error}"
            ));
        }
        let managing = |other: &&OtherStack| match &other.manages {
            ManagedRegions::Known(account_regions) => account_regions.contains(account_region),
            ManagedRegions::Unknown(_) => true,
        };
        let other = self.found.iter().find(managing)?;
        Some(match &other.manages {
            ManagedRegions::Known(_) => format!("because {other} manages them too"),
            ManagedRegions::Unknown(why) => {
                format!(
                    "because {other} may manage them too, but its configuration can't be read: {why}"
                )
            }
        })
    }
}

impl fmt::Display for OtherStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stack `{}` in {}", self.stack, self.home)
    }
}

/// Formats as `eu-west-1, eu-west-3 of account 000011112222`, by account.
fn listed(account_regions: BTreeSet<&ManagedAccountRegion>) -> String {
    /// Accounts beyond this number are counted and not named.
    const NAMED: usize = 3;
    let mut accounts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for account_region in account_regions {
        let regions = accounts.entry(&account_region.account).or_default();
        regions.push(&account_region.region);
    }
    let all = accounts.len();
    let named = accounts.into_iter().take(NAMED);
    let mut parts: Vec<_> = named
        .map(|(account, regions)| format!("{} of account {account}", regions.join(", ")))
        .collect();
    if all > NAMED {
        parts.push(format!("{} more accounts", all - NAMED));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "000011112222";

    fn document(regions: &str) -> String {
        format!(
            r#"{{"managing":{{"tag":"Schedule"{regions}}},"schedules":{{}},
                "account":[{{"id":"111122223333","role_arn":"arn:aws:iam::111122223333:role/curfew-member","regions":["eu-west-1"]}}]}}"#
        )
    }

    fn account_regions(document: &str) -> BTreeSet<ManagedAccountRegion> {
        match managed_by_document(document, OWN, "eu-west-3") {
            ManagedRegions::Known(account_regions) => account_regions,
            ManagedRegions::Unknown(why) => panic!("{why}"),
        }
    }

    fn other_stacks(manages: ManagedRegions) -> OtherStacks {
        OtherStacks {
            found: vec![OtherStack {
                stack: "live".parse().unwrap(),
                home: "us-east-1".to_owned(),
                manages,
            }],
            unreachable: Vec::new(),
        }
    }

    #[test]
    fn a_deployment_without_regions_manages_its_own_region() {
        let managed: Vec<_> = account_regions(&document(""))
            .into_iter()
            .map(|account_region| format!("{} {}", account_region.account, account_region.region))
            .collect();
        assert_eq!(
            managed,
            ["000011112222 eu-west-3", "111122223333 eu-west-1"]
        );
    }

    #[test]
    fn overlaps_are_listed_by_account_and_region() {
        let live = other_stacks(ManagedRegions::Known(account_regions(&document(
            r#","regions":["eu-west-1","eu-west-3","us-east-1"]"#,
        ))));
        insta::assert_snapshot!(live.overlaps(&account_regions(&document(""))).join("\n"), @"the stack `live` in us-east-1 manages eu-west-3 of account 000011112222; eu-west-1 of account 111122223333");
        let elsewhere = ManagedAccountRegion {
            account: OWN.to_owned(),
            region: "sa-east-1".to_owned(),
        };
        assert_eq!(live.overlaps(&BTreeSet::from([elsewhere.clone()])), [""; 0]);
        assert_eq!(live.reason_to_keep_tags(&elsewhere), None);
        let here = ManagedAccountRegion {
            region: "eu-west-3".to_owned(),
            ..elsewhere
        };
        assert_eq!(
            live.reason_to_keep_tags(&here).as_deref(),
            Some("because the stack `live` in us-east-1 manages them too")
        );
    }

    #[test]
    fn an_unreadable_configuration_counts_as_an_overlap() {
        let why = match managed_by_document(r#"{"version":"9.0"}"#, OWN, "eu-west-3") {
            ManagedRegions::Unknown(why) => why,
            ManagedRegions::Known(account_regions) => panic!("{account_regions:?}"),
        };
        let newer = other_stacks(ManagedRegions::Unknown(why));
        let here = account_regions(&document(""));
        insta::assert_snapshot!(newer.overlaps(&here).join("\n"), @"the stack `live` in us-east-1 may manage the same, but its configuration can't be read: the configuration document is of version 9.0, and this code reads versions up to 1.x");
        assert_eq!(
            newer.overlaps(&BTreeSet::new()),
            [""; 0],
            "nothing is added"
        );
        assert!(newer.reason_to_keep_tags(here.first().unwrap()).is_some());
    }
}
