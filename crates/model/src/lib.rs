//! Test support: a model of EC2 that behaves as AWS documents where the emulators do not.
//!
//! Only a dev-dependency. [`Model`] is the service: a deterministic state machine in virtual time. [`serve`] exposes it
//! over HTTP, in EC2's query protocol for the real SDKs, together with the parts of SQS and STS that state changes and
//! several accounts need; [`direct`] does the same without sockets. What AWS supports and the model does not is an
//! error, never a silent success: unknown actions and filters are refused.
//!
//! ```
//! use curfew_model::{Ec2InstanceState, Launch, Model};
//! use jiff::ToSpan;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let ec2 = Model::new("2026-11-23T18:00:00Z".parse()?);
//! let web = ec2.launch(Launch::new("web").tag("Schedule", "office"));
//!
//! // An SDK with this endpoint talks to the model.
//! let server = curfew_model::serve(ec2.clone()).await;
//! assert!(server.endpoint.starts_with("http://127.0.0.1:"));
//!
//! // A stop at the console; stopping takes time.
//! ec2.stop(&web)?;
//! assert_eq!(ec2.state(&web), Ec2InstanceState::Stopping);
//! ec2.advance(30.seconds());
//! assert_eq!(ec2.state(&web), Ec2InstanceState::Stopped);
//! assert_eq!(ec2.instance(&web).transition_reason, "User initiated (2026-11-23 18:00:00 GMT)");
//!
//! // The events that EventBridge would have delivered.
//! let states: Vec<_> = ec2.drain_events().iter().map(|event| event["detail"]["state"].clone()).collect();
//! assert_eq!(states, ["stopping", "stopped"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Deliberately absent: volumes, networks, images, launch templates, fleets; eventual consistency between a write and
//! the next read; verification of signatures; termination protection; the four hours for which a closed Spot request
//! stays visible.

mod access;
mod action;
mod caller;
mod case;
mod describe;
mod error;
mod error_codes;
mod fault;
mod filter;
mod http;
mod ids;
mod instance;
mod launch;
mod lifecycle;
mod model;
mod policy;
mod queue;
mod record;
mod request;
mod role;
mod service;
mod sqs;
mod sts;
mod tags;
mod template;
mod throttle;
mod wait_until;
mod world;

pub use access::{ClockCheck, CredentialFault, Denial};
pub use action::{ApiAction, Service};
pub use caller::ApiCaller;
pub use case::{BadCase, Case};
pub use error::ModelError;
pub use fault::{Fault, Symptom};
pub use filter::DescribeFilter;
pub use http::{
    Cut, Refusing, SdkCallRecorder, Server, TimeSource, direct, is_writing, serve, serve_with,
};
pub use ids::{Ec2InstanceId, Home};
pub use instance::{
    Ec2Instance, Ec2InstanceState, Ec2StateReason, HibernationOption, Placement, RootDeviceType,
    SpotKind, SpotRequest, StopProtection,
};
pub use launch::{AUTO_SCALING_TAG, Launch};
pub use model::Model;
pub use policy::{NoSimulator, PolicyQuestion, PolicySimulator};
pub use queue::{
    BatchResult, MessageEntry, ModelQueueMessage, QueueAttributes, QueueCall, QueueCounts,
    QueueType, Redrive,
};
pub use record::{RecordedCall, RecordedOutcome, StateTransition};
pub use request::{
    ApiRequest, AttributeChange, DescribeQuery, InstanceStateChange, ModelResponse, RegionLine,
    RegionScope, ResultPage, ShutdownMode, StatusChecks, StatusScope, StopMode, TagLine,
};
pub use role::{Credentials, Role, StsIdentity, TokenCall};
pub use template::{Template, TemplateRole, actions_of};
pub use throttle::{Throttling, TokenBucket};
pub use wait_until::wait_until;
pub use world::Durations;
