//! Roles that other accounts may take on, and the temporary credentials that this gives (`AssumeRole`, `GetCallerIdentity` in the
//! STS API Reference; *How to use an external ID* in the IAM User Guide).

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::action::ApiAction;

/// A role, and who may take it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub(crate) account: String,
    pub(crate) name: String,
    trusts: Vec<String>,
    external_id: Option<String>,
}

impl Role {
    /// A role of this account that nobody may take on yet.
    pub fn new(account: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            name: name.into(),
            trusts: Vec::new(),
            external_id: None,
        }
    }

    /// Callers of this account may take it on.
    #[must_use]
    pub fn trusting(mut self, account: impl Into<String>) -> Self {
        self.trusts.push(account.into());
        self
    }

    /// Only with this external id.
    #[must_use]
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// The role's resource name.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{}", self.account, self.name)
    }

    pub(crate) fn admits(&self, account: &str, external_id: Option<&str>) -> bool {
        self.trusts.iter().any(|trusted| trusted == account)
            && self
                .external_id
                .as_deref()
                .is_none_or(|wanted| external_id == Some(wanted))
    }
}

/// A call of STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenCall {
    /// Asks for credentials of a role.
    AssumeRole {
        /// The role's resource name.
        role: String,
        /// The session's name.
        session: String,
        /// What the role's owner agreed on with the caller.
        external_id: Option<String>,
        /// For how many seconds.
        seconds: i64,
    },
    /// Asks whose credentials these are.
    Identity,
}

impl TokenCall {
    pub(crate) fn action(&self) -> ApiAction {
        match self {
            Self::AssumeRole { .. } => ApiAction::AssumeRole,
            Self::Identity => ApiAction::GetCallerIdentity,
        }
    }
}

/// Temporary credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA` and sixteen characters.
    pub key: String,
    /// The secret, with which nobody checks anything here.
    pub secret: String,
    /// What goes along with every call.
    pub token: String,
    /// When they end, in the model's time: an SDK that compares this with its own clock has to be given the model's.
    pub expires_at: Timestamp,
    /// Whose they are.
    pub identity: StsIdentity,
}

/// Whose credentials some are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsIdentity {
    /// The account.
    pub account: String,
    /// The user's or session's resource name.
    pub arn: String,
    /// Its unique id.
    pub id: String,
}

/// The roles, and the credentials given out.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) issued: HashMap<String, Credentials>,
}

impl Roles {
    pub(crate) fn add(&mut self, role: Role) -> String {
        let arn = role.arn();
        self.roles.insert(arn.clone(), role);
        arn
    }
}
