//! The managed accounts and regions, and the role that is assumed in each other account. Raw values in, valid types out.
//!
//! The configuration names accounts and regions; no API call lists them. The permissions of a role don't extend what is managed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::instance::{AccountId, Region};
use crate::problem::Problem;

/// One region of one account: the unit of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountRegion {
    /// The account; `None` for the account of Curfew's own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region in that account.
    pub region: Region,
}

impl fmt::Display for AccountRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "{} of account {account}", self.region),
            None => write!(f, "{}", self.region),
        }
    }
}

/// All managed accounts and regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The regions of Curfew's own account; `None` for the region in which Curfew runs.
    pub regions: Option<Vec<Region>>,
    /// The other accounts, each with its regions.
    pub accounts: Vec<TargetAccount>,
}

/// Another managed account, which Curfew accesses by assuming a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAccount {
    /// The account's id, twelve digits.
    pub id: AccountId,
    /// The account's name in messages.
    pub name: Option<String>,
    /// The role in the account that is assumed.
    pub role: RoleArn,
    /// The external id that the role's trust policy requires; it prevents the confused-deputy problem.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>
    pub external_id: Option<String>,
    /// The account's managed regions, at least one.
    pub regions: Vec<Region>,
}

impl Targets {
    /// Returns the regions of Curfew's own account; `home` is the region in which Curfew runs.
    pub fn regions<'a>(&'a self, home: &'a Region) -> &'a [Region] {
        match &self.regions {
            Some(regions) => regions,
            None => std::slice::from_ref(home),
        }
    }

    /// Returns every account-region, those of Curfew's own account first.
    pub fn account_regions(&self, home: &Region) -> Vec<AccountRegion> {
        let own = self.regions(home).iter().map(|region| AccountRegion {
            account: None,
            region: region.clone(),
        });
        let others = self.accounts.iter().flat_map(|account| {
            account.regions.iter().map(|region| AccountRegion {
                account: Some(account.id.clone()),
                region: region.clone(),
            })
        });
        own.chain(others).collect()
    }

    /// Returns the other account with this id.
    pub fn account(&self, id: &AccountId) -> Option<&TargetAccount> {
        self.accounts.iter().find(|account| account.id == *id)
    }
}

impl TargetAccount {
    /// Returns the account's name, or its id if it has none.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.as_str())
    }
}

/// A role's ARN: `arn:aws:iam::111122223333:role/curfew-member`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleArn {
    text: String,
    account: AccountId,
}

impl RoleArn {
    /// Returns the ARN as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the account that owns the role.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Returns the ARN with `*` for the account, for a policy that allows this role in any account.
    pub fn in_any_account(&self) -> String {
        self.text
            .replacen(&format!("::{}:", self.account), "::*:", 1)
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A text that is not a role's ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a role's ARN, such as `arn:aws:iam::111122223333:role/curfew-member`", .0.escape_debug())]
pub struct MalformedRole(String);

impl FromStr for RoleArn {
    type Err = MalformedRole;

    fn from_str(text: &str) -> Result<Self, MalformedRole> {
        let malformed = || MalformedRole(text.chars().take(80).collect());
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts[..] else {
            return Err(malformed());
        };
        let path = resource.strip_prefix("role/").ok_or_else(malformed)?;
        // The characters that IAM allows in a path and a name.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
        let fits = partition.starts_with("aws")
            && is_account_id(account)
            && !path.is_empty()
            && !path.ends_with('/')
            && path.chars().all(allowed);
        if !fits {
            return Err(malformed());
        }
        Ok(Self {
            text: text.to_owned(),
            account: AccountId::new(account),
        })
    }
}

/// `[[account]]`, as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RawAccount {
    /// The account's id: twelve digits, in quotes.
    pub id: String,
    /// The account's name in messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role in that account that is assumed; `curfew member-role` prints a template for it.
    pub role_arn: String,
    /// The external id that the role's trust policy requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The regions in which its instances are managed.
    pub regions: Vec<String>,
}

/// Checks `managing.regions` and every `[[account]]`. Fails with all problems, not only the first.
pub(crate) fn resolve(
    regions: Option<&[String]>,
    accounts: &[RawAccount],
) -> Result<Targets, Vec<Problem>> {
    let mut problems = Vec::new();
    if accounts.is_empty() && regions.is_some_and(<[String]>::is_empty) {
        let message = "no region and no account is named, so nothing would be managed; name one, or leave this out";
        problems.push(Problem::new("managing.regions", message));
    }
    let regions = regions.map(|regions| self::regions("managing.regions", regions, &mut problems));
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut resolved = Vec::new();
    for (index, raw) in accounts.iter().enumerate() {
        let before = problems.len();
        let at = |key: &str| format!("account[{index}].{key}");
        let mut refuse = |key: &str, message: String| problems.push(Problem::new(at(key), message));
        if !is_account_id(&raw.id) {
            let found = raw.id.chars().take(20).collect::<String>();
            let found = found.escape_debug();
            refuse(
                "id",
                format!("`{found}` is not an account's id: twelve digits"),
            );
        } else if !ids.insert(&raw.id) {
            let message = format!(
                "the account `{}` is named twice; give it all its regions in one place",
                raw.id
            );
            refuse("id", message);
        }
        if let Some(name) = &raw.name {
            let fits = (1..=64).contains(&name.chars().count()) && !name.contains(char::is_control);
            if !fits || name.trim() != name {
                refuse(
                    "name",
                    "a name has 1 to 64 characters, without spaces around them".to_owned(),
                );
            } else if !names.insert(name) {
                refuse("name", format!("two accounts are called `{name}`"));
            }
        }
        let role = raw.role_arn.parse::<RoleArn>();
        match &role {
            Err(error) => refuse("role_arn", error.to_string()),
            Ok(role) if is_account_id(&raw.id) && role.account().as_str() != raw.id => refuse(
                "role_arn",
                format!(
                    "the role is in the account `{}`, not in `{}`",
                    role.account(),
                    raw.id
                ),
            ),
            Ok(_) => {}
        }
        if raw
            .external_id
            .as_deref()
            .is_some_and(|id| !is_external_id(id))
        {
            let message = "an external id has 2 to 1224 letters, digits and `+=,.@:/-_`";
            refuse("external_id", message.to_owned());
        }
        if raw.regions.is_empty() {
            let message = "an account needs at least one region; its instances are only looked for where you say";
            refuse("regions", message.to_owned());
        }
        let regions = self::regions(&at("regions"), &raw.regions, &mut problems);
        if let Ok(role) = role
            && problems.len() == before
        {
            resolved.push(TargetAccount {
                id: AccountId::new(raw.id.clone()),
                name: raw.name.clone(),
                role,
                external_id: raw.external_id.clone(),
                regions,
            });
        }
    }
    if problems.is_empty() {
        Ok(Targets {
            regions,
            accounts: resolved,
        })
    } else {
        Err(problems)
    }
}

fn regions(key: &str, names: &[String], problems: &mut Vec<Problem>) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let region = Region::new(name.clone());
        if !is_region(name) {
            let found = name.chars().take(40).collect::<String>();
            let message = format!(
                "`{}` is not a region, such as `eu-west-3`",
                found.escape_debug()
            );
            problems.push(Problem::new(format!("{key}[{index}]"), message));
        } else if regions.contains(&region) {
            let message = format!("`{name}` is named twice");
            problems.push(Problem::new(format!("{key}[{index}]"), message));
        } else {
            regions.push(region);
        }
    }
    regions
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Checks only the form: `eu-west-3`, `us-gov-east-1`. A region that does not exist fails at the first call to AWS.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [words @ .., number] = parts.as_slice() else {
        return false;
    };
    let is_word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.len() >= 2
        && words.iter().all(is_word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Checks the constraints of `ExternalId` in <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
fn is_external_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    (2..=1224).contains(&text.len()) && text.chars().all(allowed)
}
