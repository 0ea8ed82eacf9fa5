//! A pass over one account-region as a message: what the Lambda and the daemon send to the work queue, and the Lambda takes from it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::account_regions::AccountRegion;
use crate::instance::InstanceId;

/// A pass over one account and region, or over what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Where.
    pub account_region: AccountRegion,
    /// The minute that its trigger is for: the pass decides at the later of its clock and this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The token of the page to begin with, in EC2's words; the first page, where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// How many invocations have worked on it before this one.
    #[serde(default, skip_serializing_if = "is_none")]
    pub part: u32,
    /// The instance that changed its state, where that is the trigger: nothing else is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Work {
    /// A pass over everything there, for a trigger of that minute.
    pub fn over(account_region: AccountRegion, at: Timestamp) -> Self {
        Self {
            account_region,
            at: Some(at),
            page: None,
            part: 0,
            instance: None,
        }
    }

    /// The message: what a direct trigger looks like too.
    pub fn to_message(&self) -> String {
        let mut message = json!(self);
        message["command"] = "wake".into();
        message.to_string()
    }

    /// The group of its messages, which are worked on one after the other: its account-region.
    pub fn group(&self) -> String {
        let AccountRegion { account, region } = &self.account_region;
        let account = account.as_ref().map_or("own", |account| account.as_str());
        format!("{account}/{region}")
    }

    /// The message that a daemon sends for an edge which the first one's pass has not applied: SQS would drop it as the same otherwise.
    pub fn deduplication_of_audit(&self) -> String {
        format!("{}/audit", self.deduplication())
    }

    /// By what SQS knows that two messages mean one pass: the account-region and the trigger's minute, so that triggers that meet are one
    /// pass. What is left of a pass is another one, each time. (Not by the page's token: a page that EC2's pace cut short is gone on with
    /// under the same token, and several times within SQS's five minutes.)
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
    fn triggers_of_one_minute_are_one_message_for_an_account_region_and_what_is_left_is_another() {
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
