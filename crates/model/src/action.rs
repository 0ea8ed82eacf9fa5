//! The services that the model implements, and the actions of theirs that Curfew and its tests use.

use std::fmt;

/// A service that the model implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Amazon EC2, for instances.
    Ec2,
    /// Amazon SQS, for queues.
    Sqs,
    /// STS: roles and caller identities.
    Sts,
}

impl Service {
    /// The name in a signature's scope, in permissions and in ARNs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
        }
    }
}

macro_rules! actions {
    ($($service:ident { $($name:ident),+ $(,)? })+) => {
        /// An action that the model implements. Any other is answered with `InvalidAction`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ApiAction {
            $($(
                #[doc = concat!(stringify!($service), "'s `", stringify!($name), "`.")]
                $name,
            )+)+
        }

        impl ApiAction {
            /// All implemented actions.
            pub const ALL: &[Self] = &[$($(Self::$name),+),+];

            /// AWS's name of the action.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$name => stringify!($name),)+)+
                }
            }

            /// The service of the action.
            pub fn service(self) -> Service {
                match self {
                    $($(Self::$name)|+ => Service::$service,)+
                }
            }
        }
    };
}

actions!(
    Ec2 {
        RunInstances,
        DescribeInstances,
        DescribeInstanceStatus,
        StartInstances,
        StopInstances,
        TerminateInstances,
        ModifyInstanceAttribute,
        CreateTags,
        DeleteTags,
        DescribeTags,
        DescribeSpotInstanceRequests,
        DescribeRegions,
    }
    Sqs {
        SendMessage,
        SendMessageBatch,
        ReceiveMessage,
        DeleteMessage,
        DeleteMessageBatch,
        ChangeMessageVisibility,
        GetQueueUrl,
        GetQueueAttributes,
    }
    Sts {
        AssumeRole,
        GetCallerIdentity,
    }
);

impl ApiAction {
    /// The permission that the action needs, such as `ec2:StopInstances`: a batch action shares that of the single one
    /// (*Actions, resources, and condition keys for Amazon SQS*).
    pub fn permission(self) -> String {
        let name = match self {
            Self::SendMessageBatch => Self::SendMessage.name(),
            Self::DeleteMessageBatch => Self::DeleteMessage.name(),
            other => other.name(),
        };
        format!("{}:{name}", self.service().name())
    }

    /// Returns the action of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.name() == name)
    }
}

impl fmt::Display for ApiAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
