//! The actions of STS: caller identities and temporary credentials.

use jiff::SignedDuration;

use crate::action::{ApiAction, Service};
use crate::caller::{ApiCaller, SessionCredentials};
use crate::error::ModelError;
use crate::ids::{Home, SeededRandom};
use crate::role::{Credentials, StsIdentity};
use crate::world::ModelWorld;

/// The allowed session durations of `AssumeRole` in seconds.
const DURATIONS: std::ops::RangeInclusive<i64> = 900..=43_200;

impl ModelWorld {
    /// Resolves temporary credentials to their account; the error is set if they are unknown or expired.
    pub(crate) fn identify(
        &self,
        caller: &ApiCaller,
        service: Service,
    ) -> (ApiCaller, Option<ModelError>) {
        let Some(presented) = &caller.session else {
            return (caller.clone(), None);
        };
        let known = self.roles.issued.get(&presented.key);
        let Some(known) = known.filter(|known| Some(&known.token) == presented.token.as_ref())
        else {
            return (caller.clone(), Some(ModelError::unknown_key(service)));
        };
        let caller = ApiCaller {
            home: Home::new(&known.identity.account, &caller.home.region),
            ..caller.clone()
        };
        let expired = self.now >= known.expires_at;
        let problem = expired.then(|| match service {
            Service::Ec2 => ModelError::request_expired(self.now),
            Service::Sqs | Service::Sts => ModelError::expired_token(),
        });
        (caller, problem)
    }

    pub(crate) fn assume_role(
        &mut self,
        caller: &ApiCaller,
        role: &str,
        session: &str,
        external_id: Option<&str>,
        seconds: i64,
    ) -> Result<Credentials, ModelError> {
        if !DURATIONS.contains(&seconds) {
            return Err(ModelError::client(
                "ValidationError",
                format!("Value '{seconds}' at 'durationSeconds' failed to satisfy constraint"),
            ));
        }
        // A missing role gets the same error as a denied one, as on AWS.
        let known = self
            .roles
            .roles
            .get(role)
            .filter(|known| known.admits(&caller.home.account, external_id))
            .ok_or_else(|| ModelError::access_denied(&caller.home, ApiAction::AssumeRole, role))?;
        let mut names = SeededRandom::seeded(self.seed ^ self.received.rotate_left(48));
        let (one, two) = (names.draw(), names.draw());
        let (account, name) = (&known.account, &known.name);
        let credentials = Credentials {
            key: format!("{}{one:016X}", SessionCredentials::PREFIX),
            secret: format!("{two:016x}{one:016x}"),
            token: format!("{one:016x}{two:016x}"),
            expires_at: self.now + SignedDuration::from_secs(seconds),
            identity: StsIdentity {
                account: account.clone(),
                arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
                id: format!("AROA{two:016X}:{session}"),
            },
        };
        self.roles
            .issued
            .insert(credentials.key.clone(), credentials.clone());
        Ok(credentials)
    }

    pub(crate) fn caller_identity(&self, caller: &ApiCaller) -> StsIdentity {
        let session = caller.session.as_ref();
        match session.and_then(|presented| self.roles.issued.get(&presented.key)) {
            Some(known) => known.identity.clone(),
            None => StsIdentity {
                account: caller.home.account.clone(),
                arn: format!("arn:aws:iam::{}:user/curfew", caller.home.account),
                id: format!("AIDA{}CURF", caller.home.account),
            },
        }
    }
}
