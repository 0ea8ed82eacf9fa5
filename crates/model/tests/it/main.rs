//! Tests of the model, one file per topic: over HTTP for the protocol, through `Model::call` for the rest.

mod access;
mod client;
mod describe;
mod faults;
mod lifecycle;
mod parameters;
mod protocol;
mod record;
mod scale;
mod sdk;
mod special;
mod tags;
mod throttle;

use curfew_model::{
    ApiCaller, ApiRequest, Ec2InstanceId, InstanceStateChange, Model, ModelError, ModelResponse,
    ShutdownMode, StopMode,
};

/// A Monday evening.
fn model() -> Model {
    Model::new("2026-11-23T18:00:00Z".parse().unwrap())
}

fn texts(ids: &[&Ec2InstanceId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn start(ec2: &Model, ids: &[&Ec2InstanceId]) -> Result<Vec<String>, ModelError> {
    let request = ApiRequest::StartInstances(texts(ids));
    ec2.call(&ApiCaller::default(), request).map(changes)
}

fn stop(ec2: &Model, ids: &[&Ec2InstanceId]) -> Result<Vec<String>, ModelError> {
    stop_by(ec2, ids, StopMode::Plain, ShutdownMode::Graceful)
}

fn stop_by(
    ec2: &Model,
    ids: &[&Ec2InstanceId],
    mode: StopMode,
    patience: ShutdownMode,
) -> Result<Vec<String>, ModelError> {
    let request = ApiRequest::StopInstances(texts(ids), mode, patience);
    ec2.call(&ApiCaller::default(), request).map(changes)
}

fn terminate(ec2: &Model, ids: &[&Ec2InstanceId]) -> Result<Vec<String>, ModelError> {
    let request = ApiRequest::TerminateInstances(texts(ids));
    ec2.call(&ApiCaller::default(), request).map(changes)
}

/// Returns the state changes as `previous->current`.
fn changes(answer: ModelResponse) -> Vec<String> {
    let ModelResponse::Changes(changes) = answer else {
        panic!("not changes of state: {answer:?}");
    };
    let text = |change: InstanceStateChange| format!("{}->{}", change.previous, change.current);
    changes.into_iter().map(text).collect()
}

/// Returns the code of an error.
fn code<T: std::fmt::Debug>(result: Result<T, ModelError>) -> String {
    result.expect_err("an error").code.into_owned()
}
