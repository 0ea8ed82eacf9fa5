//! The processing of a call: faults, credentials, token buckets, permissions, then the action, then the log.

use crate::action::{ApiAction, Service};
use crate::caller::ApiCaller;
use crate::error::ModelError;
use crate::fault::Symptom;
use crate::ids::{Home, SeededRandom, uuid};
use crate::instance::Ec2Instance;
use crate::record::{RecordedCall, RecordedOutcome};
use crate::request::{ApiRequest, ModelResponse};
use crate::role::TokenCall;
use crate::world::ModelWorld;

/// The result of a call over a transport.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The request id.
    pub(crate) request_id: String,
    /// The addressed account and region.
    pub(crate) home: Home,
    /// The response, unless the request was lost.
    pub(crate) answer: Option<Result<ModelResponse, ModelError>>,
    /// The fault to apply to the response.
    pub(crate) symptom: Option<Symptom>,
}

impl ModelWorld {
    /// Processes a call over a transport, subject to faults.
    pub(crate) fn receive(
        &mut self,
        caller: &ApiCaller,
        name: &str,
        request: Result<ApiRequest, ModelError>,
    ) -> Reply {
        let action = ApiAction::named(name);
        let service = action.map_or(Service::Ec2, ApiAction::service);
        let (caller, problem) = self.identify(caller, service);
        let parsed = request.as_ref().ok();
        let symptom = action.and_then(|action| {
            self.faults
                .take_matching(&caller.home, action, parsed, &mut self.chance)
        });
        let mut answer = match &symptom {
            Some(Symptom::Error(error)) => Some(Err(error.clone())),
            Some(symptom) if !symptom.arrives() => None,
            _ => Some(match (problem, &request) {
                (Some(problem), _) => Err(problem),
                (None, Ok(request)) => self.serve(&caller, request),
                (None, Err(error)) => Err(error.clone()),
            }),
        };
        if let (Some(symptom), Some(Ok(answer))) = (&symptom, &mut answer) {
            symptom.alter(answer);
        }
        let outcome = match &answer {
            None => RecordedOutcome::Lost,
            Some(Ok(_)) => RecordedOutcome::Done,
            Some(Err(error)) => RecordedOutcome::Refused(error.code.to_string()),
        };
        self.received += 1;
        let mut names = SeededRandom::seeded(!self.seed ^ self.received);
        let request_id = uuid(names.draw(), names.draw());
        self.calls.push(RecordedCall {
            request_id: request_id.clone(),
            name: name.to_owned(),
            home: caller.home.clone(),
            request: request.ok(),
            at: self.now,
            outcome,
        });
        Reply {
            request_id,
            home: caller.home,
            answer,
            symptom,
        }
    }

    fn serve(
        &mut self,
        caller: &ApiCaller,
        request: &ApiRequest,
    ) -> Result<ModelResponse, ModelError> {
        let home = &caller.home;
        self.access
            .authenticate(caller, request.action().service(), self.now)?;
        if let Some(throttle) = &mut self.throttle {
            throttle.admit(home, request, self.now)?;
        }
        self.access
            .authorize(home, request, || self.named(home, request.ids()))?;
        match request {
            ApiRequest::DryRun(_) => Err(ModelError::dry_run()),
            ApiRequest::RunInstances { launch, min, max } => self
                .run(home, launch, *min, *max)
                .map(ModelResponse::Launched),
            ApiRequest::DescribeInstances(query) => self
                .describe_instances(home, query)
                .map(ModelResponse::Instances),
            ApiRequest::DescribeInstanceStatus(query, scope) => self
                .describe_statuses(home, query, *scope)
                .map(ModelResponse::Statuses),
            ApiRequest::StartInstances(ids) => self.start(home, ids).map(ModelResponse::Changes),
            ApiRequest::StopInstances(ids, mode, shutdown) => self
                .stop(home, ids, *mode, *shutdown)
                .map(ModelResponse::Changes),
            ApiRequest::TerminateInstances(ids) => {
                self.terminate(home, ids).map(ModelResponse::Changes)
            }
            ApiRequest::ModifyInstanceAttribute(id, change) => {
                self.modify(home, id, change).map(|()| ModelResponse::Done)
            }
            ApiRequest::CreateTags(ids, tags) => self
                .create_tags(home, ids, tags)
                .map(|()| ModelResponse::Done),
            ApiRequest::DeleteTags(ids, tags) => self
                .delete_tags(home, ids, tags)
                .map(|()| ModelResponse::Done),
            ApiRequest::DescribeTags(query) => {
                self.describe_tags(home, query).map(ModelResponse::Tags)
            }
            ApiRequest::DescribeSpotInstanceRequests(query) => self
                .describe_spot(home, query)
                .map(ModelResponse::SpotRequests),
            ApiRequest::DescribeRegions(query, scope) => self
                .describe_regions(query, *scope)
                .map(ModelResponse::Regions),
            ApiRequest::Queue(call) => self.queue_call(home, call),
            ApiRequest::Token(TokenCall::Identity) => {
                Ok(ModelResponse::Identity(self.caller_identity(caller)))
            }
            ApiRequest::Token(TokenCall::AssumeRole {
                role,
                session,
                external_id,
                seconds,
            }) => self
                .assume_role(caller, role, session, external_id.as_deref(), *seconds)
                .map(ModelResponse::Credentials),
        }
    }

    /// Returns the instances of the ids that exist, for the permission check; the action itself reports missing ones.
    fn named(&self, home: &Home, ids: &[String]) -> Vec<&Ec2Instance> {
        let Some(here) = self.instances_of(home) else {
            return Vec::new();
        };
        ids.iter()
            .filter_map(|id| here.get(id.as_str()))
            .map(AsRef::as_ref)
            .collect()
    }
}
