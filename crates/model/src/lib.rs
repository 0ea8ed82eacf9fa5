//! Test support: a model of EC2 that behaves as AWS documents where the emulators do not.
//!
//! Only ever a dev-dependency. [`Model`] is the service: a deterministic state machine in virtual time. [`serve`] puts it behind
//! HTTP, speaking EC2's query protocol to the real SDKs, and beside it as much of SQS and STS as state changes and several accounts
//! need; [`direct`] does the same without sockets. What AWS does and the model doesn't is an error here, never a silent success:
//! unknown actions and filters are refused.
//!
//! ```
//! use curfew_model::{InstanceState, Launch, Model};
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
//! // Somebody stops it at the console; stopping takes its time.
//! ec2.stop(&web)?;
//! assert_eq!(ec2.state(&web), InstanceState::Stopping);
//! ec2.advance(30.seconds());
//! assert_eq!(ec2.state(&web), InstanceState::Stopped);
//! assert_eq!(ec2.instance(&web).transition_reason, "User initiated (2026-11-23 18:00:00 GMT)");
//!
//! // What EventBridge would have delivered.
//! let states: Vec<_> = ec2.drain_events().iter().map(|event| event["detail"]["state"].clone()).collect();
//! assert_eq!(states, ["stopping", "stopped"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is deliberately absent: volumes, networks, images, launch templates, fleets; eventual consistency between a write and the
//! next read; verification of signatures; termination protection; the four hours for which a closed Spot request stays visible.

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
mod patience;
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
mod world;

pub use access::{ClockCheck, CredentialFault, Denial};
pub use action::{Action, Service};
pub use caller::Caller;
pub use case::{BadCase, Case};
pub use error::ApiError;
pub use fault::{Fault, Symptom};
pub use filter::Filter;
pub use http::{
    Cut, Recorder, Refusing, Server, TimeSource, direct, is_writing, serve, serve_with,
};
pub use ids::{Home, InstanceId};
pub use instance::{
    Hibernation, Instance, InstanceState, Placement, RootDevice, SpotKind, SpotRequest,
    StateReason, StopProtection,
};
pub use launch::{AUTO_SCALING_TAG, Launch};
pub use model::Model;
pub use patience::until;
pub use policy::{NoSimulator, PolicySimulator, Question};
pub use queue::{Batch, Entry, Message, Order, QueueCall, QueueCounts, QueueSettings, Redrive};
pub use record::{Call, Outcome, Transition};
pub use request::{
    Answer, AttributeChange, Health, Page, Patience, Query, RegionLine, RegionScope, Request,
    StateChange, StatusScope, StopMode, TagLine,
};
pub use role::{Credentials, Identity, Role, TokenCall};
pub use template::{Template, TemplateRole, actions_of};
pub use throttle::{Bucket, Throttling};
pub use world::Durations;
