//! Who calls a service: what its request's signature says.

use jiff::Timestamp;

use crate::ids::Home;

/// Who asks, and for which region: what a service reads from a request's signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiCaller {
    /// The account of the credentials and the region of the signature.
    pub home: Home,
    /// When the caller says that it signed (`X-Amz-Date`); looked at only when the model checks clocks.
    pub signed_at: Option<Timestamp>,
    /// The temporary credentials used, if they are any: whose account they are of is what the model knows of them.
    pub(crate) session: Option<SessionCredentials>,
}

impl ApiCaller {
    /// A caller with credentials of this account, asking in this region.
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            home: Home::new(account, region),
            ..Self::default()
        }
    }
}

/// Temporary credentials as a request shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionCredentials {
    pub(crate) key: String,
    pub(crate) token: Option<String>,
}

impl SessionCredentials {
    /// How the keys of temporary credentials begin.
    pub(crate) const PREFIX: &str = "ASIA";
}
