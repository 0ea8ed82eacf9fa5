//! One EC2 instance and the clock, small enough that every history of them can be explored.

use std::collections::{BTreeMap, HashMap};

use curfew_core::instance::{
    AccountId, CapacitySource, Hibernation, Instance, InstanceState, Purchase, Region, RootDevice,
    StateReason,
};
use curfew_core::timetable::Action;
use jiff::Timestamp;

/// Seconds after 2026-11-24T08:00:00Z.
pub(crate) type Second = i32;

const ORIGIN: i64 = 1_795_507_200;

pub(crate) fn instant(second: Second) -> Timestamp {
    Timestamp::from_second(ORIGIN + i64::from(second)).expect("within a day of the origin")
}

pub(crate) fn second(at: Timestamp) -> Second {
    Second::try_from(at.as_second() - ORIGIN).expect("within a few days of the origin")
}

/// Formats a time of day for traces, with a prefix for the day before and the day after.
pub(crate) fn wall(second: Second) -> String {
    let day = match second.div_euclid(86_400) {
        // 08:00 is the origin.
        _ if (-28_800..57_600).contains(&second) => "",
        day if day < 0 => "-1d ",
        _ => "+1d ",
    };
    let text = instant(second).to_string();
    format!("{day}{}", &text[11..19])
}

/// The state of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Power {
    Starting,
    Running,
    Stopping,
    Stopped,
}

impl Power {
    pub(crate) fn is_at(self, action: Action) -> bool {
        self == match action {
            Action::Start => Self::Running,
            Action::Stop => Self::Stopped,
        }
    }

    pub(crate) fn in_flight(self) -> bool {
        matches!(self, Self::Starting | Self::Stopping)
    }
}

/// The origin of a stop, as EC2 reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum StoppedBy {
    /// A call by a user or by Curfew.
    User,
    /// EC2 itself: a start that fell back.
    Service,
}

/// When a call takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as it is sent, as on the emulators.
    AtOnce,
    /// The transition begins when it is sent, and takes time, as on AWS.
    Gradual,
    /// At once, but up to a tick after it was sent.
    Late,
}

/// The instance, as `DescribeInstances` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Machine {
    pub(crate) power: Power,
    pub(crate) launched: Option<Second>,
    pub(crate) stopped: Option<(Second, StoppedBy)>,
    pub(crate) tags: TagsId,
}

impl Machine {
    /// The instance after a call at `now`; unchanged if it has the state or is moving to it already.
    pub(crate) fn called(self, action: Action, now: Second, pace: Pace) -> Self {
        match (action, self.power) {
            (Action::Start, Power::Stopped) => Self {
                power: match pace {
                    Pace::AtOnce | Pace::Late => Power::Running,
                    Pace::Gradual => Power::Starting,
                },
                launched: Some(now),
                ..self
            },
            (Action::Stop, Power::Running) => Self {
                power: match pace {
                    Pace::AtOnce | Pace::Late => Power::Stopped,
                    Pace::Gradual => Power::Stopping,
                },
                stopped: Some((now, StoppedBy::User)),
                ..self
            },
            _ => self,
        }
    }

    /// The instance after its transition completes.
    pub(crate) fn arrived(self) -> Self {
        let power = match self.power {
            Power::Starting => Power::Running,
            Power::Stopping => Power::Stopped,
            steady => steady,
        };
        Self { power, ..self }
    }

    pub(crate) fn observed(self, tags: &BTreeMap<String, String>) -> Instance {
        let stopped = self.stopped.filter(|_| self.power == Power::Stopped);
        let reason = stopped.map(|(_, by)| match by {
            StoppedBy::User => StateReason::USER_STOPPED,
            StoppedBy::Service => StateReason::NO_CAPACITY,
        });
        Instance {
            id: "i-0abc1234def567890".parse().expect("an id"),
            region: Region::new("eu-west-3"),
            account: AccountId::new("123456789012"),
            state: match self.power {
                Power::Starting => InstanceState::Pending,
                Power::Running => InstanceState::Running,
                Power::Stopping => InstanceState::Stopping,
                Power::Stopped => InstanceState::Stopped,
            },
            state_word: None,
            launched_at: self.launched.map(instant),
            instance_type: "t3.micro".into(),
            availability_zone: Some("eu-west-3a".into()),
            capacity: CapacitySource::default(),
            operator: None,
            tags: tags.clone(),
            purchase: Purchase::OnDemand,
            root_device: RootDevice::Ebs,
            hibernation: Hibernation::NotConfigured,
            state_reason: reason.map(|code| StateReason {
                code: code.to_owned(),
                message: format!("{code}: as EC2 says"),
            }),
            transition_reason: stopped
                .filter(|(_, by)| *by == StoppedBy::User)
                .map(|(at, _)| {
                    let text = instant(at).to_string();
                    format!("User initiated ({} {} GMT)", &text[..10], &text[11..19])
                }),
        }
    }
}

/// All tags of an instance, by their index among the tag sets found so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TagsId(u32);

/// The tag sets found so far.
#[derive(Default)]
pub(crate) struct TagSets {
    sets: Vec<BTreeMap<String, String>>,
    ids: HashMap<BTreeMap<String, String>, TagsId>,
}

impl TagSets {
    pub(crate) fn get(&self, id: TagsId) -> &BTreeMap<String, String> {
        &self.sets[id.0 as usize]
    }

    pub(crate) fn id(&mut self, tags: BTreeMap<String, String>) -> TagsId {
        if let Some(id) = self.ids.get(&tags) {
            return *id;
        }
        let id = TagsId(u32::try_from(self.sets.len()).expect("fewer sets than states"));
        self.sets.push(tags.clone());
        self.ids.insert(tags, id);
        id
    }

    /// `CreateTags`: overwrites earlier values.
    pub(crate) fn create(&mut self, id: TagsId, set: &[(String, String)]) -> TagsId {
        let mut tags = self.get(id).clone();
        tags.extend(set.iter().cloned());
        self.id(tags)
    }

    /// `DeleteTags` by key, whatever the value.
    pub(crate) fn delete(&mut self, id: TagsId, keys: &[String]) -> TagsId {
        let mut tags = self.get(id).clone();
        tags.retain(|key, _| !keys.contains(key));
        self.id(tags)
    }
}
