//! Evaluates IAM policies by `tools/policy-simulator`, an independent implementation with AWS's own tables of actions,
//! resources and condition keys.

use std::env;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// An action to evaluate against a role's policies.
#[derive(Debug, Clone)]
pub struct PolicyQuestion {
    action: String,
    resource: String,
    account: String,
    context: Value,
    resource_policy: Option<Value>,
}

impl PolicyQuestion {
    /// Evaluates this action on this resource, in the account of the resource's ARN.
    pub fn of(action: &str, resource: &str) -> Self {
        let account = resource.split(':').nth(4).unwrap_or_default();
        let account = if account.is_empty() {
            crate::Template::ACCOUNT
        } else {
            account
        };
        Self {
            action: action.to_owned(),
            resource: resource.to_owned(),
            account: account.to_owned(),
            context: json!({}),
            resource_policy: None,
        }
    }

    /// Adds a resource policy, such as a role's trust policy.
    #[must_use]
    pub fn with_resource_policy(mut self, policy: Value) -> Self {
        self.resource_policy = Some(policy);
        self
    }

    /// Adds a KMS key policy that delegates to the IAM policies of the role's account, which is the default for a new
    /// key. Without it, no IAM policy grants access to the key.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>
    #[must_use]
    pub fn with_default_key_policy(self) -> Self {
        let account = format!("arn:aws:iam::{}:root", crate::Template::ACCOUNT);
        self.with_resource_policy(json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*",
            }],
        }))
    }

    /// Sets the value of a condition key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.context[key] = value.into();
        self
    }
}

/// An installed simulator.
#[derive(Debug)]
pub struct PolicySimulator(());

/// The simulator is unavailable: node is missing, or its packages can't be installed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoSimulator(String);

impl PolicySimulator {
    const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/policy-simulator");

    /// Finds the simulator, and installs it if needed. If `CURFEW_POLICY_TESTS` is `required`, as in CI, panics when it
    /// is unavailable.
    pub fn find() -> Result<Self, NoSimulator> {
        let ready = Command::new(Self::PROGRAM)
            .arg("--install-only")
            .stdin(Stdio::null())
            .output();
        let missing = match ready {
            Ok(output) if output.status.success() => return Ok(Self(())),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let required = env::var_os("CURFEW_POLICY_TESTS").is_some_and(|value| value == "required");
        assert!(!required, "the policy simulator is required: {missing}");
        Err(NoSimulator(missing))
    }

    /// Panics unless each of these is allowed.
    pub fn assert_allowed(
        &self,
        policies: &[Value],
        boundary: Option<&Value>,
        questions: &[PolicyQuestion],
    ) {
        self.assert_answer("Allowed", policies, boundary, questions);
    }

    /// Panics unless each of these is denied implicitly, that is, no statement allows it.
    pub fn assert_denied(
        &self,
        policies: &[Value],
        boundary: Option<&Value>,
        questions: &[PolicyQuestion],
    ) {
        self.assert_answer("ImplicitlyDenied", policies, boundary, questions);
    }

    fn assert_answer(
        &self,
        expected: &str,
        policies: &[Value],
        boundary: Option<&Value>,
        questions: &[PolicyQuestion],
    ) {
        let answers = self.evaluate(policies, boundary, questions);
        let others = answers.iter().zip(questions);
        let others: Vec<String> = others
            .filter(|(answer, _)| *answer != expected)
            .map(|(answer, question)| {
                format!(
                    "{answer}: {} on {} with {}",
                    question.action, question.resource, question.context
                )
            })
            .collect();
        assert!(others.is_empty(), "not {expected}:\n{}", others.join("\n"));
    }

    /// Evaluates each question for a role of account [`Template::ACCOUNT`](crate::Template::ACCOUNT) with these
    /// policies and this boundary. Returns `Allowed`, `ImplicitlyDenied`, or the error in the policies or the question,
    /// for each.
    pub fn evaluate(
        &self,
        policies: &[Value],
        boundary: Option<&Value>,
        questions: &[PolicyQuestion],
    ) -> Vec<String> {
        let questions: Vec<Value> = questions
            .iter()
            .map(|question| {
                json!({
                    "action": question.action,
                    "resource": question.resource,
                    "account": question.account,
                    "context": question.context,
                    "resourcePolicy": question.resource_policy,
                })
            })
            .collect();
        let input = json!({
            "principal": format!("arn:aws:iam::{}:role/curfew", crate::Template::ACCOUNT),
            "policies": policies,
            "boundary": boundary,
            "questions": questions,
        });
        let mut child = Command::new(Path::new(Self::PROGRAM))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator runs");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin
            .write_all(input.to_string().as_bytes())
            .expect("the simulator reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("the simulator exits");
        assert!(output.status.success(), "the policy simulator failed");
        let answers: Vec<String> =
            serde_json::from_slice(&output.stdout).expect("the output is a list of strings");
        assert_eq!(answers.len(), questions.len());
        answers
    }
}
