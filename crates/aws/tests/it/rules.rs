//! Reconciles the trigger rules with an event bus as AWS documents it: pages, rules with targets that can't be deleted, and
//! rules of others. The emulators are less strict.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_eventbridge::Client;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::rules::{Rules, TriggerRule};
use curfew_core::stack_name::StackName;
use serde_json::{Value, json};

const US: &str = "arn:aws:lambda:eu-west-3:123456789012:function:curfew-demo";
const THEM: &str = "arn:aws:lambda:eu-west-3:123456789012:function:other";

#[derive(Clone, Debug, Default)]
struct Rule {
    description: Option<String>,
    expression: Option<String>,
    /// By id: ARN and input.
    targets: BTreeMap<String, (String, Option<String>)>,
}

/// The default event bus, behind EventBridge's JSON protocol.
#[derive(Clone, Debug, Default)]
struct Bus(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    rules: BTreeMap<String, Rule>,
    calls: Vec<String>,
    /// The number of calls that succeed.
    left: Option<usize>,
    /// The last page of every list has this token.
    going_round: Option<&'static str>,
}

impl Bus {
    /// The page size of EventBridge.
    const PAGE: usize = 100;

    async fn rules_of(&self, stack: &str) -> Rules {
        let options = ConnectOptions {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(options).await.unwrap();
        let connector = SharedHttpConnector::new(self.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        let sdk = connection.sdk.into_builder().http_client(client).build();
        Rules::new(Client::new(&sdk), stack.parse().unwrap(), US)
    }

    fn put(&self, name: &str, target: Option<&str>) {
        let targets = target.map(|arn| ("theirs".to_owned(), (arn.to_owned(), None)));
        let rule = Rule {
            expression: Some("rate(1 day)".to_owned()),
            targets: targets.into_iter().collect(),
            ..Rule::default()
        };
        self.0.lock().unwrap().rules.insert(name.to_owned(), rule);
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().rules.keys().cloned().collect()
    }

    fn let_through(&self, calls: Option<usize>) {
        self.0.lock().unwrap().left = calls;
    }

    fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    fn take_writing(&self) -> Vec<String> {
        let mut calls = self.take_calls();
        assert!(!calls.is_empty(), "nothing was asked");
        calls.retain(|call| !call.starts_with("List"));
        calls
    }
}

impl HttpConnector for Bus {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap().to_owned();
        let operation = target.rsplit('.').next().unwrap();
        let question: Value =
            serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        let (status, answer) = self.0.lock().unwrap().answer(operation, &question);
        let response = HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(answer.to_string()),
        );
        HttpConnectorFuture::new(async move {
            // Lets other tasks run.
            tokio::task::yield_now().await;
            Ok(response)
        })
    }
}

impl Inside {
    fn answer(&mut self, operation: &str, question: &Value) -> (u16, Value) {
        let refused = |code: &str| (400, json!({"__type": code, "message": code}));
        match &mut self.left {
            Some(0) => return refused("AccessDeniedException"),
            Some(left) => *left -= 1,
            None => {}
        }
        self.calls.push(operation.to_owned());
        let text = |key: &str| question[key].as_str().map(str::to_owned);
        let name = text("Rule").or(text("Name")).unwrap_or_default();
        match operation {
            "ListRules" => {
                let rules = self.rules.iter().map(|(name, rule)| {
                    let mut listed = json!({"Name": name, "State": "ENABLED"});
                    for (key, value) in [
                        ("Description", &rule.description),
                        ("ScheduleExpression", &rule.expression),
                    ] {
                        if let Some(value) = value {
                            listed[key] = json!(value);
                        }
                    }
                    listed
                });
                self.page("Rules", &rules.collect::<Vec<_>>(), question)
            }
            "ListRuleNamesByTarget" => {
                let arn = text("TargetArn").unwrap();
                let rules = self.rules.iter();
                let names =
                    rules.filter(|(_, rule)| rule.targets.values().any(|(to, _)| *to == arn));
                let names = names.map(|(name, _)| json!(name));
                self.page("RuleNames", &names.collect::<Vec<_>>(), question)
            }
            "ListTargetsByRule" => match self.rules.get(&name) {
                None => refused("ResourceNotFoundException"),
                Some(rule) => {
                    let targets = rule.targets.iter();
                    let targets = targets.map(|(id, (arn, _))| json!({"Id": id, "Arn": arn}));
                    self.page("Targets", &targets.collect::<Vec<_>>(), question)
                }
            },
            "PutRule" => {
                let rule = self.rules.entry(name).or_default();
                rule.description = text("Description");
                rule.expression = text("ScheduleExpression");
                (200, json!({"RuleArn": "arn"}))
            }
            "PutTargets" | "RemoveTargets" if !self.rules.contains_key(&name) => {
                refused("ResourceNotFoundException")
            }
            "PutTargets" => {
                let rule = self.rules.get_mut(&name).unwrap();
                for target in question["Targets"].as_array().unwrap() {
                    let field = |key: &str| target[key].as_str().map(str::to_owned);
                    let to = (field("Arn").unwrap(), field("Input"));
                    rule.targets.insert(field("Id").unwrap(), to);
                }
                (200, json!({"FailedEntryCount": 0, "FailedEntries": []}))
            }
            "RemoveTargets" => {
                let rule = self.rules.get_mut(&name).unwrap();
                for id in question["Ids"].as_array().unwrap() {
                    rule.targets.remove(id.as_str().unwrap());
                }
                (200, json!({"FailedEntryCount": 0, "FailedEntries": []}))
            }
            "DeleteRule" => {
                if self
                    .rules
                    .get(&name)
                    .is_some_and(|rule| !rule.targets.is_empty())
                {
                    return refused("ValidationException");
                }
                self.rules.remove(&name);
                (200, json!({}))
            }
            other => panic!("nobody needs {other}"),
        }
    }
}

impl Inside {
    fn page(&self, key: &str, all: &[Value], question: &Value) -> (u16, Value) {
        let from: usize = question["NextToken"]
            .as_str()
            .map_or(0, |token| token.parse().unwrap());
        let to = all.len().min(from + Bus::PAGE);
        let mut answer = json!({ key: all[from.min(to)..to] });
        if to < all.len() {
            answer["NextToken"] = json!(to.to_string());
        } else if let Some(token) = self.going_round {
            answer["NextToken"] = json!(token);
        }
        (200, answer)
    }
}

fn stack() -> StackName {
    "demo".parse().unwrap()
}

/// A stop at each of this many minutes of a day.
fn wanted(count: usize) -> Vec<TriggerRule> {
    let rules = (0..count).map(|minute| {
        let expression = format!("cron({} {} ? * MON-FRI *)", minute % 60, minute / 60);
        TriggerRule::for_edges(&stack(), &expression, vec!["office".parse().unwrap()])
    });
    rules.collect()
}

#[tokio::test]
async fn rules_on_several_pages_are_all_listed() {
    let bus = Bus::default();
    let rules = bus.rules_of("demo").await;
    let wanted = wanted(230);
    let report = rules.reconcile(&wanted).await.unwrap();
    assert_eq!(report.changes.create.len(), 230);
    assert_eq!(report.warnings, [""; 0]);
    bus.take_calls();
    let report = rules.reconcile(&wanted).await.unwrap();
    assert!(report.changes.is_empty());
    assert_eq!(bus.take_writing(), [""; 0]);
    assert_eq!(rules.names().await.unwrap().len(), 230);
    let report = rules.reconcile(&wanted[..1]).await.unwrap();
    assert_eq!(report.changes.delete.len(), 229);
    assert_eq!(bus.names(), [wanted[0].name.clone()]);
}

#[tokio::test]
async fn a_nearly_full_bus_is_reported_before_and_after_the_change() {
    let bus = Bus::default();
    for number in 0..240 {
        bus.put(&format!("theirs-{number}"), Some(THEM));
    }
    let rules = bus.rules_of("demo").await;
    let quiet = rules.preview(&wanted(9)).await.unwrap();
    assert_eq!(quiet.warnings, [""; 0]);
    let loud = rules.preview(&wanted(10)).await.unwrap();
    insta::assert_snapshot!(loud.warnings.join("\n"), @"the default event bus has 250 rules; AWS allows 300 unless you ask for more");
    assert_eq!(bus.take_writing(), [""; 0]);
    let done = rules.reconcile(&wanted(10)).await.unwrap();
    assert_eq!(done, loud);
    assert_eq!(bus.names().len(), 250);
}

#[tokio::test]
async fn rules_and_targets_of_others_are_kept() {
    let bus = Bus::default();
    // Rules of another stack with a similar name, of another owner with Curfew's prefix, and of Curfew's own but with a
    // second target.
    bus.put("curfew-demo-b-office-stop-123456", Some(THEM));
    bus.put("curfew-demo-office-stop-123456", None);
    bus.put("backup", Some(THEM));
    let rules = bus.rules_of("demo").await;
    let wanted = wanted(1);
    rules.reconcile(&wanted).await.unwrap();
    let shared = &wanted[0].name;
    {
        let mut inside = bus.0.lock().unwrap();
        let rule = inside.rules.get_mut(shared).unwrap();
        rule.targets
            .insert("second".to_owned(), (THEM.to_owned(), None));
    }
    let report = rules.reconcile(&[]).await.unwrap();
    assert_eq!(
        report.warnings,
        [format!(
            "the rule `{shared}` stays because it has targets that are not Curfew's"
        )]
    );
    let mut names = bus.names();
    names.retain(|name| name != shared);
    assert_eq!(
        names,
        [
            "backup",
            "curfew-demo-b-office-stop-123456",
            "curfew-demo-office-stop-123456"
        ]
    );
    let left = bus.0.lock().unwrap().rules[shared].targets.clone();
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["second"]);
}

#[tokio::test]
async fn an_interrupted_reconciliation_is_completed_by_the_next() {
    let (before, after) = (wanted(3), wanted(6).split_off(2));
    for cut in 0.. {
        let bus = Bus::default();
        let rules = bus.rules_of("demo").await;
        rules.reconcile(&before).await.unwrap();
        bus.let_through(Some(cut));
        let cut_off = rules.reconcile(&after).await;
        bus.let_through(None);
        rules.reconcile(&after).await.unwrap();
        let mut names: Vec<_> = after.iter().map(|rule| rule.name.clone()).collect();
        names.sort_unstable();
        assert_eq!(bus.names(), names, "cut after {cut} calls");
        bus.take_calls();
        rules.reconcile(&after).await.unwrap();
        assert_eq!(bus.take_writing(), [""; 0], "cut after {cut} calls");
        if cut_off.is_ok() {
            assert!(cut > 10, "{cut}");
            return;
        }
    }
}

#[tokio::test]
async fn concurrent_reconciliations_succeed() {
    let bus = Bus::default();
    let rules = bus.rules_of("demo").await;
    rules.reconcile(&wanted(5)).await.unwrap();
    let empty = &[];
    let (one, other) = tokio::join!(rules.reconcile(empty), rules.reconcile(empty));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(bus.names(), [""; 0]);
}

#[tokio::test]
async fn a_cycle_of_pages_is_an_error_that_names_the_call() {
    let bus = Bus::default();
    let rules = bus.rules_of("demo").await;
    rules.reconcile(&wanted(250)).await.unwrap();
    for token in ["0", "100", "200"] {
        bus.0.lock().unwrap().going_round = Some(token);
        let error = rules.reconcile(&wanted(250)).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("events:List") && error.contains("named before"),
            "{error}"
        );
    }
}
