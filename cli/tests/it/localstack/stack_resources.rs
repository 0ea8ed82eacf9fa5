//! The resources of a stack, listed by each service: present after deploying, absent after destroying.

use serde_json::Value;

use crate::support::Sandbox;

/// The request by which a service lists its resources.
enum List {
    /// A GET of this path.
    Get(&'static str),
    /// This action of the query protocol, with its parameters and version.
    Query(&'static str, &'static str),
    /// This target of the JSON protocol.
    Json(&'static str),
}

/// CloudFormation lists deleted stacks, too, unless they are filtered out.
const STACKS: &str = "ListStacks&StackStatusFilter.member.1=CREATE_COMPLETE&StackStatusFilter.member.2=UPDATE_COMPLETE\
    &StackStatusFilter.member.3=DELETE_FAILED&StackStatusFilter.member.4=ROLLBACK_COMPLETE";

/// The resources of a stack: the service, its list request, and the text that marks the stack's own. `STACK` stands for the
/// stack's name.
const STACK_RESOURCES: [(&str, List, &str); 10] = [
    (
        "cloudformation",
        List::Query(STACKS, "2010-05-15"),
        "<StackName>STACK</StackName>",
    ),
    ("events", List::Json("AWSEvents.ListRules"), "curfew-STACK"),
    ("s3", List::Get(""), "curfew-STACK-"),
    (
        "ssm",
        List::Json("AmazonSSM.DescribeParameters"),
        "/curfew/STACK/",
    ),
    (
        "logs",
        List::Json("Logs_20140328.DescribeLogGroups"),
        "/aws/lambda/curfew-STACK",
    ),
    ("sqs", List::Json("AmazonSQS.ListQueues"), "/curfew-STACK-"),
    (
        "lambda",
        List::Get("2015-03-31/functions/"),
        "function:curfew-STACK",
    ),
    (
        "lambda",
        List::Get("2015-03-31/event-source-mappings/"),
        ":curfew-STACK-work.fifo",
    ),
    ("apigateway", List::Get("restapis"), "curfew-STACK"),
    (
        "iam",
        List::Query("ListRoles", "2010-05-08"),
        "<RoleName>STACK-Role-",
    ),
];

/// The marks of the stack's resources that exist.
pub(crate) fn of(endpoint: &str, stack: &str) -> Vec<&'static str> {
    let there = STACK_RESOURCES.iter().filter(|(service, list, mark)| {
        list.ask(endpoint, service)
            .contains(&mark.replace("STACK", stack))
    });
    there.map(|(_, _, mark)| *mark).collect()
}

/// Every resource of a deployed stack.
pub(crate) fn all() -> Vec<&'static str> {
    STACK_RESOURCES.iter().map(|(_, _, mark)| *mark).collect()
}

/// The names of the rules that trigger the stack's function.
pub(crate) fn rules(endpoint: &str, stack: &str) -> Vec<String> {
    let answer = List::Json("AWSEvents.ListRules").ask(endpoint, "events");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let rules = answer["Rules"].as_array().unwrap().iter();
    let names = rules.map(|rule| rule["Name"].as_str().unwrap().to_owned());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(&format!("curfew-{stack}-")))
        .collect();
    names.sort_unstable();
    names
}

/// The function's environment, without the variables that the cloud sets.
pub(crate) fn environment(endpoint: &str, stack: &str) -> Value {
    let answer = List::Get("2015-03-31/functions/").ask(endpoint, "lambda");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let mut functions = answer["Functions"].as_array().unwrap().iter();
    let function = format!("curfew-{stack}");
    let found = functions.find(|one| one["FunctionName"] == function);
    found.unwrap()["Environment"]["Variables"].clone()
}

impl List {
    fn ask(&self, endpoint: &str, service: &str) -> String {
        // Emulators route requests by the scope of the signature, and verify none.
        let scope = format!("test/20260101/us-east-1/{service}/aws4_request");
        let signature = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n"
        );
        let (method, path, headers, body) = match self {
            Self::Get(path) => ("GET", *path, String::new(), String::new()),
            Self::Query(action, version) => (
                "POST",
                "",
                "Content-Type: application/x-www-form-urlencoded\r\n".to_owned(),
                format!("Action={action}&Version={version}"),
            ),
            Self::Json(target) => (
                "POST",
                "",
                format!("Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n"),
                "{}".to_owned(),
            ),
        };
        let url = format!("{endpoint}/{path}");
        let (status, answer) = Sandbox::fetch(method, &url, &(signature + &headers), &body);
        assert_eq!(status, 200, "{service}: {answer}");
        answer
    }
}
