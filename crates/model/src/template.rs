//! Resolves the IAM roles of a CloudFormation template. Supports only what Curfew's templates use; anything else
//! panics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;

/// A template with its parameters and deployment region.
#[derive(Debug, Clone)]
pub struct Template {
    body: Yaml,
    parameters: BTreeMap<String, String>,
}

/// A role of a template with resolved policies.
#[derive(Debug, Clone)]
pub struct TemplateRole {
    /// The policy documents.
    pub policies: Vec<Value>,
    /// The ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// The trust policy.
    pub trust: Value,
}

impl Template {
    /// The account of all deployments.
    pub const ACCOUNT: &str = "000000000000";

    /// Reads a template, deployed as stack `curfew` into account [`ACCOUNT`](Self::ACCOUNT) and this region, with
    /// default parameters.
    pub fn read(text: &str, region: &str) -> Self {
        let body: Yaml = serde_yaml_ng::from_str(text).expect("a template is YAML");
        let pseudo = [
            ("AWS::AccountId", Self::ACCOUNT),
            ("AWS::Partition", "aws"),
            ("AWS::Region", region),
            ("AWS::StackName", "curfew"),
            ("AWS::URLSuffix", "amazonaws.com"),
        ];
        let mut parameters: BTreeMap<String, String> = pseudo
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, declared) in entries(&body["Parameters"]) {
            if let Some(value) = scalar(&declared["Default"]) {
                parameters.insert(name.to_owned(), value);
            }
        }
        Self { body, parameters }
    }

    /// Sets the value of a declared parameter.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: &str) -> Self {
        let declared = &self.body["Parameters"][parameter];
        assert!(!declared.is_null(), "there is no parameter `{parameter}`");
        self.parameters
            .insert(parameter.to_owned(), value.to_owned());
        self
    }

    /// Returns the types of its resources, such as `AWS::IAM::Role`.
    pub fn resource_types(&self) -> BTreeSet<String> {
        entries(&self.body["Resources"])
            .map(|(_, resource)| scalar(&resource["Type"]).expect("a resource has a type"))
            .collect()
    }

    /// Returns the role with this logical id.
    pub fn role(&self, name: &str) -> TemplateRole {
        let properties = &self.body["Resources"][name]["Properties"];
        let resolved = |key: &str| self.resolve(&properties[key]).unwrap_or_default();
        let policies = resolved("Policies");
        let policies = policies.as_array().expect("a role has policies");
        TemplateRole {
            policies: policies
                .iter()
                .map(|policy| document(&policy["PolicyDocument"]))
                .collect(),
            boundary: resolved("PermissionsBoundary").as_str().map(str::to_owned),
            trust: document(&resolved("AssumeRolePolicyDocument")),
        }
    }

    /// Evaluates the functions in a value; `None` for `AWS::NoValue`.
    fn resolve(&self, value: &Yaml) -> Option<Value> {
        Some(match value {
            Yaml::Tagged(tagged) => {
                return self.call(&tagged.tag.to_string(), &tagged.value);
            }
            Yaml::Mapping(map) => {
                let pairs = map.iter().filter_map(|(key, value)| {
                    let key = scalar(key).expect("keys are texts");
                    Some((key, self.resolve(value)?))
                });
                Value::Object(pairs.collect::<Map<_, _>>())
            }
            Yaml::Sequence(items) => items
                .iter()
                .filter_map(|item| self.resolve(item))
                .collect::<Vec<_>>()
                .into(),
            Yaml::Null => Value::Null,
            other => scalar(other).expect("what is left is a scalar").into(),
        })
    }

    fn call(&self, function: &str, argument: &Yaml) -> Option<Value> {
        let text = || scalar(argument).expect("its argument is a text");
        let nth = |index: usize| &argument[index];
        match function {
            "!Ref" if text() == "AWS::NoValue" => None,
            "!Ref" => Some(self.parameter(&text()).into()),
            "!Sub" => Some(self.substitute(&text()).into()),
            "!GetAtt" => Some(self.attribute(&text()).into()),
            "!If" => {
                let holds = self.holds(&text_of(nth(0)));
                self.resolve(nth(if holds { 1 } else { 2 }))
            }
            "!Split" => {
                let (separator, joined) = (text_of(nth(0)), self.resolve(nth(1))?);
                let joined = joined.as_str().expect("it splits a text").to_owned();
                Some(joined.split(&separator).collect::<Vec<_>>().into())
            }
            other => panic!("the function {other} is not known here"),
        }
    }

    /// Evaluates a condition of the template.
    fn holds(&self, name: &str) -> bool {
        self.evaluate(&self.body["Conditions"][name])
    }

    fn evaluate(&self, condition: &Yaml) -> bool {
        let Yaml::Tagged(tagged) = condition else {
            panic!("a condition is a function: {condition:?}");
        };
        match tagged.tag.to_string().as_str() {
            "!Equals" => self.resolve(&tagged.value[0]) == self.resolve(&tagged.value[1]),
            "!Not" => !self.evaluate(&tagged.value[0]),
            other => panic!("the condition {other} is not known here"),
        }
    }

    fn parameter(&self, name: &str) -> String {
        let value = self.parameters.get(name);
        value
            .unwrap_or_else(|| panic!("`{name}` has no value"))
            .clone()
    }

    /// Replaces `${Name}` in a text; replaced values are not expanded again.
    fn substitute(&self, text: &str) -> String {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').expect("a brace is closed");
            done.push_str(before);
            done.push_str(&if let Some((resource, _)) = name.split_once('.') {
                self.arn(resource)
            } else {
                self.parameter(name)
            });
            rest = after;
        }
        done + rest
    }

    fn attribute(&self, path: &str) -> String {
        let (resource, attribute) = path.split_once('.').expect("RESOURCE.Attribute");
        assert_eq!(
            attribute, "Arn",
            "of attributes, only the ARN is known here"
        );
        self.arn(resource)
    }

    fn arn(&self, resource: &str) -> String {
        let resource = &self.body["Resources"][resource];
        let name = |key: &str| self.resolve(&resource["Properties"][key]);
        let (service, name) = match text_of(&resource["Type"]).as_str() {
            "AWS::SQS::Queue" => ("sqs", name("QueueName")),
            other => panic!("the ARN of a {other} is not known here"),
        };
        let (region, account) = (self.parameter("AWS::Region"), Self::ACCOUNT);
        let name = name.expect("it has a name");
        let name = name.as_str().expect("a name is a text");
        format!("arn:aws:{service}:{region}:{account}:{name}")
    }
}

impl TemplateRole {
    /// Returns the granted actions, such as `ec2:StopInstances`. Panics on a wildcard.
    pub fn grants(&self) -> BTreeSet<String> {
        self.policies.iter().flat_map(actions_of).collect()
    }
}

/// Returns the actions that a policy grants. Panics on a wildcard.
pub fn actions_of(policy: &Value) -> BTreeSet<String> {
    let mut actions = BTreeSet::new();
    for statement in listed(&policy["Statement"]) {
        assert_eq!(statement["Effect"], "Allow", "{statement}");
        for action in listed(&statement["Action"]) {
            let action = action.as_str().expect("an action is a text");
            assert!(!action.contains(['*', '?']), "{action} is a wildcard");
            actions.insert(action.to_owned());
        }
    }
    actions
}

/// IAM accepts a single value in the place of a list.
fn listed(value: &Value) -> &[Value] {
    match value {
        Value::Array(several) => several,
        one => std::slice::from_ref(one),
    }
}

/// IAM accepts a policy as a string too.
fn document(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).expect("a policy is JSON"),
        other => other.clone(),
    }
}

fn entries(map: &Yaml) -> impl Iterator<Item = (&str, &Yaml)> {
    let map = map.as_mapping().expect("a template has this section");
    map.iter()
        .map(|(key, value)| (key.as_str().expect("keys are texts"), value))
}

fn text_of(value: &Yaml) -> String {
    scalar(value).expect("this is a text")
}

fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) => Some(text.clone()),
        Yaml::Number(number) => Some(number.to_string()),
        Yaml::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
