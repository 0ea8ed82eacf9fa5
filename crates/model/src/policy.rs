//! An opinion on IAM policies from outside: `tools/policy-simulator` decides with AWS's own tables of actions, resources and
//! condition keys, none of which is ours.

use std::env;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// A question to IAM: may the role do this?
#[derive(Debug, Clone)]
pub struct PolicyQuestion {
    action: String,
    resource: String,
    account: String,
    context: Value,
    resource_policy: Option<Value>,
}

impl PolicyQuestion {
    /// Whether this action on this resource is allowed, in the account that the resource's ARN names.
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

    /// With this policy on the resource: a role's trust.
    #[must_use]
    pub fn where_resource_says(mut self, policy: Value) -> Self {
        self.resource_policy = Some(policy);
        self
    }

    /// On a KMS key whose own policy leaves it to the IAM policies of the role's account, as that of a new key does. Without such
    /// words of the key, no IAM policy grants anything on it.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>
    #[must_use]
    pub fn where_key_trusts_account(self) -> Self {
        let account = format!("arn:aws:iam::{}:root", crate::Template::ACCOUNT);
        self.where_resource_says(json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow", "Principal": {"AWS": account}, "Action": "kms:*", "Resource": "*",
            }],
        }))
    }

    /// With this value of a condition key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.context[key] = value.into();
        self
    }
}

/// The simulator, ready to be asked.
#[derive(Debug)]
pub struct PolicySimulator(());

/// Why it can't be asked: node is missing, or its packages can't be installed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoSimulator(String);

impl PolicySimulator {
    const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/policy-simulator");

    /// Looks for it, and installs it where need be. Where `CURFEW_POLICY_TESTS` is `required`, as in CI, it must be there.
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

    /// Ends the test unless each of these is allowed.
    pub fn assert_allowed(
        &self,
        policies: &[Value],
        boundary: Option<&Value>,
        questions: &[PolicyQuestion],
    ) {
        self.assert_answer("Allowed", policies, boundary, questions);
    }

    /// Ends the test unless each of these is denied, for want of a statement that allows it.
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
        let answers = self.ask(policies, boundary, questions);
        let others = answers.iter().zip(questions);
        let others: Vec<String> = others
            .filter(|(answer, _)| *answer != expected)
            .map(|(answer, asked)| {
                format!(
                    "{answer}: {} on {} with {}",
                    asked.action, asked.resource, asked.context
                )
            })
            .collect();
        assert!(others.is_empty(), "not {expected}:\n{}", others.join("\n"));
    }

    /// What a role of account [`Template::ACCOUNT`](crate::Template::ACCOUNT) with these policies, and within this boundary, is
    /// answered: one answer for each question, `Allowed`, `ImplicitlyDenied`, or what is wrong with the policies or the question.
    pub fn ask(
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
        let asked = json!({
            "principal": format!("arn:aws:iam::{}:role/curfew", crate::Template::ACCOUNT),
            "policies": policies,
            "boundary": boundary,
            "questions": questions,
        });
        let mut child = Command::new(Path::new(Self::PROGRAM))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it could be run a moment ago");
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        stdin
            .write_all(asked.to_string().as_bytes())
            .expect("it reads all of it");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "the policy simulator failed");
        let answers: Vec<String> =
            serde_json::from_slice(&output.stdout).expect("it answers a list of texts");
        assert_eq!(answers.len(), questions.len());
        answers
    }
}
