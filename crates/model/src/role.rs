//! IAM roles that other accounts can assume, and their temporary credentials (`AssumeRole`, `GetCallerIdentity` in the
//! STS API Reference; *How to use an external ID* in the IAM User Guide).

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::action::ApiAction;

/// A role and its trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub(crate) account: String,
    pub(crate) name: String,
    trusts: Vec<String>,
    external_id: Option<String>,
}

impl Role {
    /// A role of this account that trusts no account yet.
    pub fn new(account: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            name: name.into(),
            trusts: Vec::new(),
            external_id: None,
        }
    }

    /// Trusts callers of this account.
    #[must_use]
    pub fn trusting(mut self, account: impl Into<String>) -> Self {
        self.trusts.push(account.into());
        self
    }

    /// Requires this external id.
    #[must_use]
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// The ARN of the role.
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
    /// Requests credentials of a role.
    AssumeRole {
        /// The ARN of the role.
        role: String,
        /// The session name.
        session: String,
        /// The external id.
        external_id: Option<String>,
        /// The duration in seconds.
        seconds: i64,
    },
    /// Gets the identity of the caller.
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

/// The temporary credentials of an assumed role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The access key, `ASIA` and sixteen characters.
    pub key: String,
    /// The secret key, which is not verified.
    pub secret: String,
    /// The session token.
    pub token: String,
    /// The expiry in the model's time: an SDK that compares it with its own clock must use the model's.
    pub expires_at: Timestamp,
    /// The identity of the session.
    pub identity: StsIdentity,
}

/// The identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsIdentity {
    /// The account of the caller.
    pub account: String,
    /// The ARN of the user or session.
    pub arn: String,
    /// The unique id.
    pub id: String,
}

/// The roles and issued credentials.
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
