//! Roles that other accounts may take on, and the temporary credentials that this gives (`AssumeRole`, `GetCallerIdentity` in the
//! STS API Reference; *How to use an external ID* in the IAM User Guide).

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::error::ApiError;
use crate::ids::{Chance, Home};
use crate::request::{Action, Caller, Service};
use crate::world::World;

/// `AssumeRole`: from a quarter of an hour to twelve hours.
const DURATIONS: std::ops::RangeInclusive<i64> = 900..=43_200;

/// A role, and who may take it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    account: String,
    name: String,
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

    fn admits(&self, account: &str, external_id: Option<&str>) -> bool {
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
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::AssumeRole { .. } => Action::AssumeRole,
            Self::Identity => Action::GetCallerIdentity,
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
    pub identity: Identity,
}

/// Whose credentials some are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The user's or session's resource name.
    pub arn: String,
    /// Its unique id.
    pub id: String,
}

/// Temporary credentials as a request shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) key: String,
    pub(crate) token: Option<String>,
}

impl Presented {
    /// How the keys of temporary credentials begin.
    pub(crate) const PREFIX: &str = "ASIA";
}

/// The roles, and the credentials given out.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    roles: BTreeMap<String, Role>,
    given: HashMap<String, Credentials>,
}

impl Roles {
    pub(crate) fn add(&mut self, role: Role) -> String {
        let arn = role.arn();
        self.roles.insert(arn.clone(), role);
        arn
    }
}

impl World {
    /// The caller with the account that its credentials are of, and what is wrong with them, if they are temporary.
    pub(crate) fn identify(&self, caller: &Caller, service: Service) -> (Caller, Option<ApiError>) {
        let Some(presented) = &caller.session else {
            return (caller.clone(), None);
        };
        let known = self.roles.given.get(&presented.key);
        let Some(known) = known.filter(|known| Some(&known.token) == presented.token.as_ref())
        else {
            return (caller.clone(), Some(ApiError::unknown_key(service)));
        };
        let caller = Caller {
            home: Home::new(&known.identity.account, &caller.home.region),
            ..caller.clone()
        };
        let expired = self.now >= known.expires_at;
        let problem = expired.then(|| match service {
            Service::Ec2 => ApiError::request_expired(self.now),
            Service::Sqs | Service::Sts => ApiError::expired_token(),
        });
        (caller, problem)
    }

    pub(crate) fn assume_role(
        &mut self,
        caller: &Caller,
        role: &str,
        session: &str,
        external_id: Option<&str>,
        seconds: i64,
    ) -> Result<Credentials, ApiError> {
        if !DURATIONS.contains(&seconds) {
            return Err(ApiError::client(
                "ValidationError",
                format!("Value '{seconds}' at 'durationSeconds' failed to satisfy constraint"),
            ));
        }
        // A role that doesn't exist is refused in the same words: nobody is told which roles there are.
        let known = self
            .roles
            .roles
            .get(role)
            .filter(|known| known.admits(&caller.home.account, external_id))
            .ok_or_else(|| ApiError::access_denied(&caller.home, Action::AssumeRole, role))?;
        let mut names = Chance::seeded(self.seed ^ self.received.rotate_left(48));
        let (one, two) = (names.draw(), names.draw());
        let (account, name) = (&known.account, &known.name);
        let credentials = Credentials {
            key: format!("{}{one:016X}", Presented::PREFIX),
            secret: format!("{two:016x}{one:016x}"),
            token: format!("{one:016x}{two:016x}"),
            expires_at: self.now + SignedDuration::from_secs(seconds),
            identity: Identity {
                account: account.clone(),
                arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
                id: format!("AROA{two:016X}:{session}"),
            },
        };
        self.roles
            .given
            .insert(credentials.key.clone(), credentials.clone());
        Ok(credentials)
    }

    pub(crate) fn caller_identity(&self, caller: &Caller) -> Identity {
        let session = caller.session.as_ref();
        match session.and_then(|presented| self.roles.given.get(&presented.key)) {
            Some(known) => known.identity.clone(),
            None => Identity {
                account: caller.home.account.clone(),
                arn: format!("arn:aws:iam::{}:user/curfew", caller.home.account),
                id: format!("AIDA{}CURF", caller.home.account),
            },
        }
    }
}
