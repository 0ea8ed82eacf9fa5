//! The caller of a service, from the signature of a request.

use jiff::Timestamp;

use crate::ids::Home;

/// The caller of a service and the region that it calls, from the signature of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApiCaller {
    /// The account of the credentials and the region of the signature.
    pub home: Home,
    /// When the request was signed (`X-Amz-Date`); used only when the model checks clocks.
    pub signed_at: Option<Timestamp>,
    /// The temporary credentials of the request, if any; the model knows the account of each.
    pub(crate) session: Option<SessionCredentials>,
}

impl ApiCaller {
    /// A caller with credentials of this account, in this region.
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            home: Home::new(account, region),
            ..Self::default()
        }
    }
}

/// Temporary credentials as sent with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionCredentials {
    pub(crate) key: String,
    pub(crate) token: Option<String>,
}

impl SessionCredentials {
    /// The prefix of temporary access keys.
    pub(crate) const PREFIX: &str = "ASIA";
}
