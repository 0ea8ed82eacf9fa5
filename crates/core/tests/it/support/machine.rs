//! One instance of the small EC2: it takes time to start and to stop, and a start may fall back.

use std::collections::BTreeMap;

use curfew_core::instance::{
    AccountId, CapacitySource, Hibernation, Instance, InstanceId, InstanceState, Purchase, Region,
    RootDevice, StateReason,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const STARTING: SignedDuration = SignedDuration::from_secs(20);
const STOPPING: SignedDuration = SignedDuration::from_secs(30);

/// Whether the service reports launch times and state reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateDetails {
    /// As on AWS: every start sets the launch time, and the state reason shows the origin of a stop.
    Reported,
    /// As emulators do: the launch time never moves, and there are no reasons.
    Missing,
}

/// The result of the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boot {
    Runs,
    /// Falls back to stopped, with EC2's code and message.
    FallsBack(&'static str, &'static str),
}

/// An instance, and its transition in progress.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) instance: Instance,
    moving_until: Option<Timestamp>,
    boot: Boot,
}

impl Machine {
    pub(crate) fn launched(
        id: InstanceId,
        name: &str,
        state: InstanceState,
        launched: Timestamp,
    ) -> Self {
        let instance = Instance {
            id,
            region: Region::new("eu-west-3"),
            account: AccountId::new("123456789012"),
            state,
            state_word: None,
            launched_at: Some(launched),
            instance_type: "t3.micro".into(),
            availability_zone: Some("eu-west-3a".into()),
            tags: BTreeMap::from([("Name".to_owned(), name.to_owned())]),
            purchase: Purchase::OnDemand,
            capacity: CapacitySource::default(),
            operator: None,
            root_device: RootDevice::Ebs,
            hibernation: Hibernation::NotConfigured,
            state_reason: None,
            transition_reason: None,
        };
        Self {
            instance,
            moving_until: None,
            boot: Boot::Runs,
        }
    }

    /// The next start is accepted, and does not lead to running.
    pub(crate) fn next_start_falls_back(&mut self) {
        self.boot = Boot::FallsBack(
            "Client.InternalError",
            "Client error on launch: the key of its volume is disabled",
        );
    }

    /// The next start is accepted, and then there is no capacity for it.
    pub(crate) fn next_start_lacks_capacity(&mut self) {
        self.boot = Boot::FallsBack(
            StateReason::NO_CAPACITY,
            "Insufficient capacity to satisfy the launch request",
        );
    }

    /// The next start leads to running.
    pub(crate) fn next_start_runs(&mut self) {
        self.boot = Boot::Runs;
    }

    pub(crate) fn tag(&mut self, key: &str, value: &str) {
        assert!(
            value.chars().count() <= 256,
            "EC2 refuses the tag value {value}"
        );
        self.instance.tags.insert(key.to_owned(), value.to_owned());
    }

    /// Calls `StartInstances`, and returns whether EC2 accepts it.
    pub(crate) fn start(&mut self, now: Timestamp, state_details: StateDetails) -> bool {
        match self.instance.state {
            InstanceState::Running | InstanceState::Pending => true,
            InstanceState::Stopped => {
                self.instance.state = InstanceState::Pending;
                self.moving_until = Some(now + STARTING);
                if state_details == StateDetails::Reported {
                    let whole = Timestamp::from_second(now.as_second()).unwrap();
                    self.instance.launched_at = Some(whole);
                    self.explain(None);
                }
                true
            }
            _ => false,
        }
    }

    /// Calls `StopInstances`, and returns whether EC2 accepts it.
    pub(crate) fn stop(&mut self, now: Timestamp, state_details: StateDetails) -> bool {
        match self.instance.state {
            InstanceState::Stopped | InstanceState::Stopping => true,
            InstanceState::Running => {
                self.instance.state = InstanceState::Stopping;
                self.moving_until = Some(now + STOPPING);
                if state_details == StateDetails::Reported {
                    let time = now.to_zoned(TimeZone::UTC).strftime("%F %T").to_string();
                    self.explain(Some((
                        "Client.UserInitiatedShutdown",
                        "User initiated shutdown",
                    )));
                    self.instance.transition_reason = Some(format!("User initiated ({time} GMT)"));
                }
                true
            }
            _ => false,
        }
    }

    /// Completes a transition whose time is over.
    pub(crate) fn settle(&mut self, now: Timestamp, state_details: StateDetails) {
        if self.moving_until.is_none_or(|end| end > now) {
            return;
        }
        self.moving_until = None;
        let boot = self.boot;
        self.instance.state = match self.instance.state {
            InstanceState::Pending => {
                self.boot = Boot::Runs;
                match boot {
                    Boot::Runs => InstanceState::Running,
                    Boot::FallsBack(code, sentence) => {
                        if state_details == StateDetails::Reported {
                            self.explain(Some((code, sentence)));
                        }
                        InstanceState::Stopped
                    }
                }
            }
            _ => InstanceState::Stopped,
        };
    }

    /// Shuts the instance down by its operating system.
    pub(crate) fn shut_down_by_os(&mut self, now: Timestamp, state_details: StateDetails) {
        if self.stop(now, state_details) && state_details == StateDetails::Reported {
            self.explain(Some((
                StateReason::SHUT_DOWN_FROM_INSIDE,
                "Instance initiated shutdown",
            )));
        }
    }

    fn explain(&mut self, reason: Option<(&str, &str)>) {
        self.instance.state_reason = reason.map(|(code, message)| StateReason {
            code: code.to_owned(),
            message: message.to_owned(),
        });
        self.instance.transition_reason = reason.map(|(code, _)| code.to_owned());
    }
}
