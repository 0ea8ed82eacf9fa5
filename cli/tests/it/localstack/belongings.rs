//! What a stack has in the cloud, asked of each service by its own list: there after deploying, gone after destroying.

use serde_json::Value;

use crate::support::House;

/// How a service lists what it has.
enum List {
    /// By a GET of this path.
    Get(&'static str),
    /// By this action of the query protocol, with its parameters, in this version.
    Query(&'static str, &'static str),
    /// By this target of the JSON protocol.
    Json(&'static str),
}

/// Those that are gone are listed too, unless they are left out.
const STACKS: &str = "ListStacks&StackStatusFilter.member.1=CREATE_COMPLETE&StackStatusFilter.member.2=UPDATE_COMPLETE\
    &StackStatusFilter.member.3=DELETE_FAILED&StackStatusFilter.member.4=ROLLBACK_COMPLETE";

/// What a stack consists of: the service, its list, and how the stack's own is told there. `STACK` stands for the stack's name.
const BELONGINGS: [(&str, List, &str); 10] = [
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

/// What there is of the stack, by the marks above.
pub(crate) fn of(endpoint: &str, stack: &str) -> Vec<&'static str> {
    let there = BELONGINGS.iter().filter(|(service, list, mark)| {
        list.ask(endpoint, service)
            .contains(&mark.replace("STACK", stack))
    });
    there.map(|(_, _, mark)| *mark).collect()
}

/// Everything that a stack has while it is deployed.
pub(crate) fn all() -> Vec<&'static str> {
    BELONGINGS.iter().map(|(_, _, mark)| *mark).collect()
}

/// The names of the rules by which the stack is woken.
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

/// What the function finds in its environment, but for what the cloud puts there itself.
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
        // Emulators tell services by the scope of a signature, and verify none.
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
        let (status, answer) = House::fetch(method, &url, &(signature + &headers), &body);
        assert_eq!(status, 200, "{service}: {answer}");
        answer
    }
}
