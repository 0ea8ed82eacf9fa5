//! A pass over one account-region as a message: the Lambda and the daemon send it to the work queue, and the Lambda receives it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::account_regions::AccountRegion;
use crate::instance::InstanceId;

/// A pass over one account-region, or the remaining part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The account and region.
    pub account_region: AccountRegion,
    /// The minute of its trigger: the pass decides at the later of its clock and this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// EC2's `NextToken` of the page to begin with; the first page if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The number of invocations that worked on the pass before this one.
    #[serde(default, skip_serializing_if = "is_none")]
    pub part: u32,
    /// The instance whose state change is the trigger: only this instance is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Work {
    /// A pass over all instances of an account-region, for a trigger of that minute.
    pub fn over(account_region: AccountRegion, at: Timestamp) -> Self {
        Self {
            account_region,
            at: Some(at),
            page: None,
            part: 0,
            instance: None,
        }
    }

    /// The body of the message, in the format of a direct trigger.
    pub fn to_message(&self) -> String {
        let mut message = json!(self);
        message["command"] = "wake".into();
        message.to_string()
    }

    /// The message group, whose messages are processed one after the other: the account-region.
    pub fn group(&self) -> String {
        let AccountRegion { account, region } = &self.account_region;
        let account = account.as_ref().map_or("own", |account| account.as_str());
        format!("{account}/{region}")
    }

    /// The deduplication id of the message that the daemon sends for an edge which the first pass did not apply. It differs from
    /// [`Self::deduplication`], or SQS would drop the message as a duplicate.
    pub fn daemon_deduplication(&self) -> String {
        format!("{}/audit", self.deduplication())
    }

    /// The id by which SQS drops duplicates: the account-region and the trigger's minute, so that concurrent triggers cause one pass. The
    /// remaining part of a pass has another id each time. (The page's token is not used: a page that rate limits cut short continues
    /// with the same token, possibly several times within SQS's five minutes.)
    pub fn deduplication(&self) -> String {
        let group = self.group();
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        match (&self.instance, self.part) {
            (Some(instance), _) => format!("{group}/{at}/{instance}"),
            (None, 0) => format!("{group}/{at}"),
            (None, part) => format!("{group}/{at}/{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-23T19:00:00Z";

    #[test]
    fn triggers_of_one_minute_share_a_deduplication_id_and_remaining_parts_have_their_own() {
        let own = Work::over(
            serde_json::from_value(json!({"region": "eu-west-3"})).unwrap(),
            AT.parse().unwrap(),
        );
        let rest = Work {
            page: Some("token".to_owned()),
            part: 1,
            ..own.clone()
        };
        let more = Work {
            part: 2,
            ..rest.clone()
        };
        let ids = [&own, &own.clone(), &rest, &more].map(Work::deduplication);
        assert_eq!(ids[0], ids[1]);
        assert_eq!(
            ids[1..],
            [
                "own/eu-west-3/2026-11-23T19:00:00Z",
                "own/eu-west-3/2026-11-23T19:00:00Z/1",
                "own/eu-west-3/2026-11-23T19:00:00Z/2"
            ]
        );
        assert_eq!(own.group(), rest.group());
    }
}
