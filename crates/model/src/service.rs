//! A call's way through the service: the edge (faults, credentials, token buckets, permissions), then the action, then the log.

use crate::action::{Action, Service};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::fault::Symptom;
use crate::ids::{Chance, Home, uuid};
use crate::instance::Instance;
use crate::record::{Call, Outcome};
use crate::request::{Answer, Request};
use crate::role::TokenCall;
use crate::world::World;

/// What became of a call that came over a wire.
#[derive(Debug)]
pub(crate) struct Reply {
    /// EC2's name for the call.
    pub(crate) request_id: String,
    /// The account and region that the call was for.
    pub(crate) home: Home,
    /// What the service answers, unless it never saw the call.
    pub(crate) answer: Option<Result<Answer, ApiError>>,
    /// What happens to the answer on its way.
    pub(crate) symptom: Option<Symptom>,
}

impl World {
    /// A call over a wire, where anything can happen to it.
    pub(crate) fn receive(
        &mut self,
        caller: &Caller,
        name: &str,
        request: Result<Request, ApiError>,
    ) -> Reply {
        let action = Action::named(name);
        let service = action.map_or(Service::Ec2, Action::service);
        let (caller, problem) = self.identify(caller, service);
        let asked = request.as_ref().ok();
        let symptom = action.and_then(|action| {
            self.faults
                .strike(&caller.home, action, asked, &mut self.chance)
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
            symptom.spoil(answer);
        }
        let outcome = match &answer {
            None => Outcome::Lost,
            Some(Ok(_)) => Outcome::Done,
            Some(Err(error)) => Outcome::Refused(error.code.to_string()),
        };
        self.received += 1;
        let mut names = Chance::seeded(!self.seed ^ self.received);
        let request_id = uuid(names.draw(), names.draw());
        self.calls.push(Call {
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

    fn serve(&mut self, caller: &Caller, request: &Request) -> Result<Answer, ApiError> {
        let home = &caller.home;
        self.access
            .authenticate(caller, request.action().service(), self.now)?;
        if let Some(throttle) = &mut self.throttle {
            throttle.admit(home, request, self.now)?;
        }
        self.access
            .authorize(home, request, || self.named(home, request.ids()))?;
        match request {
            Request::DryRun(_) => Err(ApiError::dry_run()),
            Request::RunInstances { launch, min, max } => {
                self.run(home, launch, *min, *max).map(Answer::Launched)
            }
            Request::DescribeInstances(query) => {
                self.describe_instances(home, query).map(Answer::Instances)
            }
            Request::DescribeInstanceStatus(query, scope) => self
                .describe_statuses(home, query, *scope)
                .map(Answer::Statuses),
            Request::StartInstances(ids) => self.start(home, ids).map(Answer::Changes),
            Request::StopInstances(ids, mode, patience) => {
                self.stop(home, ids, *mode, *patience).map(Answer::Changes)
            }
            Request::TerminateInstances(ids) => self.terminate(home, ids).map(Answer::Changes),
            Request::ModifyInstanceAttribute(id, change) => {
                self.modify(home, id, change).map(|()| Answer::Done)
            }
            Request::CreateTags(ids, tags) => {
                self.create_tags(home, ids, tags).map(|()| Answer::Done)
            }
            Request::DeleteTags(ids, tags) => {
                self.delete_tags(home, ids, tags).map(|()| Answer::Done)
            }
            Request::DescribeTags(query) => self.describe_tags(home, query).map(Answer::Tags),
            Request::DescribeSpotInstanceRequests(query) => {
                self.describe_spot(home, query).map(Answer::SpotRequests)
            }
            Request::DescribeRegions(query, scope) => {
                self.describe_regions(query, *scope).map(Answer::Regions)
            }
            Request::Queue(call) => self.queue_call(home, call),
            Request::Token(TokenCall::Identity) => {
                Ok(Answer::Identity(self.caller_identity(caller)))
            }
            Request::Token(TokenCall::AssumeRole {
                role,
                session,
                external_id,
                seconds,
            }) => self
                .assume_role(caller, role, session, external_id.as_deref(), *seconds)
                .map(Answer::Credentials),
        }
    }

    /// Those of the ids that exist, for the policy to look at: whether the rest exist is the action's own question.
    fn named(&self, home: &Home, ids: &[String]) -> Vec<&Instance> {
        let Some(here) = self.shelf(home) else {
            return Vec::new();
        };
        ids.iter()
            .filter_map(|id| here.get(id.as_str()))
            .map(AsRef::as_ref)
            .collect()
    }
}
