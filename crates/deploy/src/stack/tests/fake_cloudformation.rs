//! A fake of CloudFormation with one stack, with the calls of a deployment in the query protocol. Each status accepts the same calls as
//! on AWS; the test sets what a call leads to.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use curfew_aws::connect::{ConnectOptions, Connection};

use super::super::TEMPLATE;

/// A fake of CloudFormation with one stack, `demo`.
#[derive(Clone, Debug)]
pub(super) struct FakeCloudFormation(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The stack's status; none if there is no stack.
    status: Option<&'static str>,
    /// The next statuses: each description of the stack takes one.
    coming: VecDeque<&'static str>,
    /// How many stacks of that name existed before.
    generation: usize,
    parameters: BTreeMap<String, String>,
    /// The parameters of the change set, if there is one.
    proposed: Option<BTreeMap<String, String>>,
    events: Vec<Event>,
    outcomes: VecDeque<Outcome>,
    calls: Vec<String>,
}

/// An event of a resource: its name, its status, and the reason.
pub(super) type Event = (&'static str, &'static str, &'static str);

#[derive(Debug)]
struct Outcome {
    call: &'static str,
    caller: Caller,
    statuses: Vec<&'static str>,
    events: Vec<Event>,
}

/// The caller that changes the stack's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// The deployment under test.
    Deployment,
    /// Another deployment, just before.
    Concurrent,
}

type Form = BTreeMap<String, String>;
/// A response's content, or an error's message.
type Reply = Result<String, String>;

impl FakeCloudFormation {
    /// Creates a fake with the stack in this status.
    pub(super) fn with(status: &'static str) -> Self {
        Self(Arc::new(Mutex::new(State {
            status: Some(status),
            coming: VecDeque::new(),
            generation: 0,
            parameters: BTreeMap::new(),
            proposed: None,
            events: Vec::new(),
            outcomes: VecDeque::new(),
            calls: Vec::new(),
        })))
    }

    /// Expects `call` as the next writing call, which leads through these statuses.
    pub(super) fn then(&self, call: &'static str, statuses: &[&'static str], events: &[Event]) {
        self.expect(call, Caller::Deployment, statuses, events);
    }

    /// Makes a concurrent deployment change the stack just before the next `call`.
    pub(super) fn then_concurrently(&self, call: &'static str, statuses: &[&'static str]) {
        self.expect(call, Caller::Concurrent, statuses, &[]);
    }

    fn expect(
        &self,
        call: &'static str,
        caller: Caller,
        statuses: &[&'static str],
        events: &[Event],
    ) {
        self.state().outcomes.push_back(Outcome {
            call,
            caller,
            statuses: statuses.to_vec(),
            events: events.to_vec(),
        });
    }

    /// Sets the statuses that the next descriptions return.
    pub(super) fn passes_through(&self, statuses: &[&'static str]) {
        self.state().coming.extend(statuses);
    }

    /// Returns the writing calls so far. Panics if an expected call is missing.
    pub(super) fn writing_calls(&self) -> Vec<String> {
        let state = self.state();
        assert_eq!(state.outcomes.len(), 0, "{:?}", state.outcomes);
        let calls = state.calls.iter();
        let writing = calls.filter(|call| !call.starts_with("Describe") && *call != "GetTemplate");
        writing.cloned().collect()
    }

    /// Opens a connection to the fake.
    pub(super) async fn connect(&self) -> Connection {
        let mut conn = Connection::open(ConnectOptions {
            endpoint: Some("http://127.0.0.1:4566".to_owned()),
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        })
        .await
        .unwrap();
        let connector = SharedHttpConnector::new(self.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        conn.sdk = conn.sdk.into_builder().http_client(client).build();
        conn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl HttpConnector for FakeCloudFormation {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap();
        let form: Form = form_urlencoded::parse(body).into_owned().collect();
        let call = &form["Action"];
        let mut state = self.state();
        state.calls.push(call.clone());
        let (status, body) = match state.answer(call, &form) {
            Ok(content) => (
                200,
                format!("<{call}Response><{call}Result>{content}</{call}Result></{call}Response>"),
            ),
            Err(message) => (
                400,
                format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>{message}</Message></Error></ErrorResponse>"
                ),
            ),
        };
        let status = StatusCode::try_from(status).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl State {
    fn answer(&mut self, call: &str, form: &Form) -> Reply {
        match call {
            "DescribeStacks" => self.describe(&form["StackName"]),
            "DescribeStackEvents" => Ok(self.events_xml()),
            "GetTemplate" => Ok(format!(
                "<TemplateBody>{}</TemplateBody>",
                escaped(TEMPLATE)
            )),
            "CreateChangeSet" => self.propose(form),
            "DescribeChangeSet" => Ok(CHANGE_SET.to_owned()),
            "DeleteChangeSet" => {
                self.proposed = None;
                Ok(String::new())
            }
            "ExecuteChangeSet" => {
                let proposed = self.proposed.take();
                let proposed = proposed.ok_or("ChangeSet [curfew-deploy] does not exist")?;
                let answer = self.carry_out(call, |_| true);
                // A rollback restores the previous parameters.
                if self
                    .coming
                    .back()
                    .is_some_and(|status| !status.contains("ROLLBACK"))
                {
                    self.parameters = proposed;
                }
                answer
            }
            "ContinueUpdateRollback" => {
                self.carry_out(call, |status| status == "UPDATE_ROLLBACK_FAILED")
            }
            "DeleteStack" => self.carry_out(call, |status| !status.ends_with("_IN_PROGRESS")),
            unknown => panic!("{unknown} is not called"),
        }
    }

    /// Describes a stack by name, or by the id of one that may be gone.
    fn describe(&mut self, name_or_id: &str) -> Reply {
        self.status = self.coming.pop_front().or(self.status);
        let current = name_or_id == "demo" || name_or_id == self.id();
        let status = match self.status {
            Some("DELETE_COMPLETE") | None if name_or_id == "demo" => {
                return Err("Stack with id demo does not exist".to_owned());
            }
            Some(status) if current => status,
            _ => "DELETE_COMPLETE",
        };
        let member = |(key, value): (&str, &str), kind: &str| {
            format!(
                "<member><{kind}Key>{key}</{kind}Key><{kind}Value>{value}</{kind}Value></member>"
            )
        };
        let parameters = self.parameters.iter();
        let parameters: String = parameters
            .map(|(key, value)| member((key, value), "Parameter"))
            .collect();
        let outputs = [
            "ApiId",
            "ApiUrl",
            "Stage",
            "FunctionName",
            "FunctionArn",
            "QueueUrl",
        ];
        let outputs: String = outputs.map(|key| member((key, "x"), "Output")).concat();
        Ok(format!(
            "<Stacks><member><StackName>demo</StackName><StackId>{}</StackId><StackStatus>{status}</StackStatus>\
             <Tags><member><Key>curfew:stack</Key><Value>demo</Value></member></Tags>\
             <Parameters>{parameters}</Parameters><Outputs>{outputs}</Outputs></member></Stacks>",
            self.id()
        ))
    }

    fn id(&self) -> String {
        let generation = self.generation;
        format!("arn:aws:cloudformation:eu-west-3:000000000000:stack/demo/{generation}")
    }

    /// Returns the events, newest first.
    fn events_xml(&self) -> String {
        let mut members = String::new();
        for (number, (resource, status, reason)) in self.events.iter().enumerate().rev() {
            write!(
                members,
                "<member><EventId>{number}</EventId><LogicalResourceId>{resource}</LogicalResourceId>\
                 <ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{}</ResourceStatusReason></member>",
                escaped(reason)
            )
            .unwrap();
        }
        format!("<StackEvents>{members}</StackEvents>")
    }

    fn propose(&mut self, form: &Form) -> Reply {
        const UPDATABLE: [&str; 3] = [
            "CREATE_COMPLETE",
            "UPDATE_COMPLETE",
            "UPDATE_ROLLBACK_COMPLETE",
        ];
        match (form["ChangeSetType"].as_str(), self.status) {
            ("CREATE", None | Some("DELETE_COMPLETE")) => {
                self.generation += 1;
                self.status = Some("REVIEW_IN_PROGRESS");
            }
            ("UPDATE", Some(status)) if UPDATABLE.contains(&status) => {}
            (kind, status) => {
                return Err(format!("{kind} does not go with {status:?}"));
            }
        }
        let keys = form.iter().filter_map(|(name, key)| {
            let member = name.strip_prefix("Parameters.member.")?;
            let member = member.strip_suffix(".ParameterKey")?;
            let value = &form[&format!("Parameters.member.{member}.ParameterValue")];
            Some((key.clone(), value.clone()))
        });
        self.proposed = Some(keys.collect());
        let id = self.id();
        Ok(format!("<Id>{id}/change</Id><StackId>{id}</StackId>"))
    }

    /// Applies the expected outcome of this call, if the stack's status accepts it.
    fn carry_out(&mut self, call: &str, takes: impl Fn(&str) -> bool) -> Reply {
        let outcome = self.outcomes.pop_front();
        let outcome = outcome.unwrap_or_else(|| panic!("{call} is one call too many"));
        assert_eq!(outcome.call, call);
        if outcome.caller == Caller::Concurrent {
            self.status = outcome.statuses.first().copied();
        }
        let status = self.status.unwrap_or("DELETE_COMPLETE");
        self.coming = outcome.statuses.into();
        if !takes(status) {
            return Err(format!(
                "Stack:{} is in {status} state and can not take {call}.",
                self.id()
            ));
        }
        self.events.extend(outcome.events);
        Ok(String::new())
    }
}

const CHANGE_SET: &str = "<Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus><Changes><member>\
    <Type>Resource</Type><ResourceChange><Action>Modify</Action><LogicalResourceId>Function</LogicalResourceId>\
    <ResourceType>AWS::Lambda::Function</ResourceType><Replacement>False</Replacement></ResourceChange></member></Changes>";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
