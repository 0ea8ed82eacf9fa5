//! Which accounts and regions deployments manage, and which of them two deployments would share.
//!
//! Other deployments are looked for in the own account, in the region that is deployed into and in those that the configuration names. One
//! that is at home elsewhere, or in another account, is not found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_core::account_regions::Targets;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::Region;
use curfew_core::stack_name::StackName;

use super::configuration::ConfigurationParameter;
use super::place::Account;
use super::stack::Stack;

/// One region of one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AccountRegion {
    pub(super) account: String,
    pub(super) region: String,
}

/// What a deployment manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Managed {
    /// These.
    Known(BTreeSet<AccountRegion>),
    /// Its configuration can't be read, and the sentence says why.
    Unknown(String),
}

/// Another deployment.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub(super) stack: StackName,
    /// The region that it is deployed into.
    pub(super) home: String,
    pub(super) manages: Managed,
}

/// The other deployments, as far as they can be found.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    pub(super) found: Vec<Neighbour>,
    /// Regions in which it could not be looked up whether there is one.
    pub(super) unseen: Vec<(String, CloudError)>,
}

/// The accounts and regions of a membership.
fn managed(targets: &Targets, account: &str, home: &str) -> BTreeSet<AccountRegion> {
    let account_regions = targets.account_regions(&Region::new(home));
    let places = account_regions
        .into_iter()
        .map(|account_region| AccountRegion {
            account: account_region
                .account
                .map_or_else(|| account.to_owned(), |account| account.as_str().to_owned()),
            region: account_region.region.as_str().to_owned(),
        });
    places.collect()
}

/// The accounts and regions that a configuration document names.
pub(super) fn managed_by_document(document: &str, account: &str, home: &str) -> Managed {
    let raw = match RawScheduleSet::from_json(document) {
        Ok(raw) => raw,
        Err(error) => return Managed::Unknown(error.to_string()),
    };
    match raw.targets() {
        Ok(targets) => Managed::Known(managed(&targets, account, home)),
        Err(problems) => Managed::Unknown(
            problems
                .first()
                .map_or_else(String::new, ToString::to_string),
        ),
    }
}

/// What the stack's published configuration names; none if nothing is published.
pub(super) async fn managed_by_stack(
    conn: &Connection,
    stack: &StackName,
    account: &str,
) -> Option<Managed> {
    match ConfigurationParameter::new(conn, stack).read().await {
        Ok(None) => None,
        Ok(Some(Ok(document))) => Some(managed_by_document(&document, account, conn.region())),
        Ok(Some(Err(_))) => Some(Managed::Unknown("its configuration is damaged".to_owned())),
        Err(error) => Some(Managed::Unknown(error.to_string())),
    }
}

impl Neighbours {
    /// Looks for other deployments than `own` where this one is at home and in the own account's regions among `places`. Only what
    /// is denied, or fails in another region, is left open.
    pub(super) async fn find(
        conn: &Connection,
        own: &StackName,
        account: &Account,
        places: &BTreeSet<AccountRegion>,
    ) -> Result<Self, CloudError> {
        let home = conn.region().to_owned();
        let own_regions = places.iter().filter(|place| place.account == account.id);
        let mut regions: BTreeSet<_> = own_regions.map(|place| place.region.clone()).collect();
        regions.insert(home.clone());
        let mut neighbours = Self::default();
        for region in regions {
            let there = conn.in_region(&region);
            let names = match Stack::new(&there, own).all().await {
                Ok(names) => names,
                Err(error) if region != home || error.kind == CloudErrorKind::Denied => {
                    neighbours.unseen.push((region, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for stack in names {
                if region == home && stack == *own {
                    continue;
                }
                // One without configuration manages nothing yet.
                if let Some(manages) = managed_by_stack(&there, &stack, &account.id).await {
                    neighbours.found.push(Neighbour {
                        stack,
                        home: region.clone(),
                        manages,
                    });
                }
            }
        }
        Ok(neighbours)
    }

    /// What the others share with these places, one sentence for each of them.
    pub(super) fn shared(&self, places: &BTreeSet<AccountRegion>) -> Vec<String> {
        let sentence = |neighbour: &Neighbour| match &neighbour.manages {
            _ if places.is_empty() => None,
            Managed::Unknown(why) => Some(format!(
                "{neighbour} may manage the same, and it can't be told: {why}"
            )),
            Managed::Known(theirs) => {
                let shared: BTreeSet<_> = theirs.intersection(places).collect();
                (!shared.is_empty()).then(|| format!("{neighbour} manages {}", listed(shared)))
            }
        };
        self.found.iter().filter_map(sentence).collect()
    }

    /// Why Curfew's tags on the instances of a place have to stay; none if they are the removed deployment's alone.
    pub(super) fn objection(&self, place: &AccountRegion) -> Option<String> {
        if let Some((region, error)) = self.unseen.first() {
            return Some(format!(
                "because they may be those of another deployment, and it can't be looked up whether there is one in {region}: {error}"
            ));
        }
        let managing = |neighbour: &&Neighbour| match &neighbour.manages {
            Managed::Known(places) => places.contains(place),
            Managed::Unknown(_) => true,
        };
        let neighbour = self.found.iter().find(managing)?;
        Some(match &neighbour.manages {
            Managed::Known(_) => format!("because {neighbour} manages them too"),
            Managed::Unknown(why) => {
                format!("because {neighbour} may manage them too, and it can't be told: {why}")
            }
        })
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stack `{}` in {}", self.stack, self.home)
    }
}

/// `eu-west-1 and eu-west-3 of account 000011112222`: by account, a few of each.
fn listed(places: BTreeSet<&AccountRegion>) -> String {
    /// More accounts than these are only counted.
    const NAMED: usize = 3;
    let mut accounts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for place in places {
        let regions = accounts.entry(&place.account).or_default();
        regions.push(&place.region);
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

    fn places(document: &str) -> BTreeSet<AccountRegion> {
        match managed_by_document(document, OWN, "eu-west-3") {
            Managed::Known(places) => places,
            Managed::Unknown(why) => panic!("{why}"),
        }
    }

    fn neighbours(manages: Managed) -> Neighbours {
        Neighbours {
            found: vec![Neighbour {
                stack: "live".parse().unwrap(),
                home: "us-east-1".to_owned(),
                manages,
            }],
            unseen: Vec::new(),
        }
    }

    #[test]
    fn a_deployment_without_regions_manages_the_one_that_it_is_in() {
        let told: Vec<_> = places(&document(""))
            .into_iter()
            .map(|place| format!("{} {}", place.account, place.region))
            .collect();
        assert_eq!(told, ["000011112222 eu-west-3", "111122223333 eu-west-1"]);
    }

    #[test]
    fn what_two_deployments_share_is_said_by_account_and_region() {
        let live = neighbours(Managed::Known(places(&document(
            r#","regions":["eu-west-1","eu-west-3","us-east-1"]"#,
        ))));
        insta::assert_snapshot!(live.shared(&places(&document(""))).join("\n"), @"the stack `live` in us-east-1 manages eu-west-3 of account 000011112222; eu-west-1 of account 111122223333");
        let elsewhere = AccountRegion {
            account: OWN.to_owned(),
            region: "sa-east-1".to_owned(),
        };
        assert_eq!(live.shared(&BTreeSet::from([elsewhere.clone()])), [""; 0]);
        assert_eq!(live.objection(&elsewhere), None);
        let here = AccountRegion {
            region: "eu-west-3".to_owned(),
            ..elsewhere
        };
        assert_eq!(
            live.objection(&here).as_deref(),
            Some("because the stack `live` in us-east-1 manages them too")
        );
    }

    #[test]
    fn what_can_not_be_told_counts_as_shared() {
        let why = match managed_by_document(r#"{"version":"9.0"}"#, OWN, "eu-west-3") {
            Managed::Unknown(why) => why,
            Managed::Known(places) => panic!("{places:?}"),
        };
        let newer = neighbours(Managed::Unknown(why));
        let here = places(&document(""));
        insta::assert_snapshot!(newer.shared(&here).join("\n"), @"the stack `live` in us-east-1 may manage the same, and it can't be told: the configuration document is of version 9.0, and this code reads versions up to 1.x");
        assert_eq!(newer.shared(&BTreeSet::new()), [""; 0], "nothing is added");
        assert!(newer.objection(here.first().unwrap()).is_some());
    }
}
