//! Everything that a deployment consists of, compared with what is there, and the steps in between.

use std::path::PathBuf;

use curfew_aws::connect::Connection;
use curfew_aws::document::Stored;
use curfew_aws::rules::Rules;

use super::artifact::{Artifact, ArtifactError};
use super::bucket::Bucket;
use super::place::{Account, Cloud};
use super::preview::DataChange;
use super::settings::SettingsParameter;
use super::stack::{Applied, Parameters, Stack};
use super::{
    Auth, DeployError, Deployment, LONGEST_PARAMETER, Outputs, event_bridge, stack_outputs,
};
use crate::progress::Progress;

/// Everything that a deployment consists of, ready to be compared with what is there.
pub(super) struct Prepared<'a> {
    conn: &'a Connection,
    deployment: &'a Deployment,
    pub(super) artifact: Artifact,
    pub(super) bucket: Bucket,
    pub(super) settings: SettingsParameter,
    stored: Stored,
    pub(super) stack: Stack<'a>,
    pub(super) rules: Rules,
    pub(super) parameters: Parameters,
}

impl<'a> Prepared<'a> {
    pub(super) async fn new(
        conn: &'a Connection,
        deployment: &'a Deployment,
        progress: &dyn Progress,
    ) -> Result<Self, DeployError> {
        let cloud = Cloud::of(conn);
        let stack = &deployment.stack;
        if cloud == Cloud::Aws && deployment.auth == Auth::None {
            return Err(DeployError::Open {
                stack: stack.clone(),
            });
        }
        let settings = SettingsParameter::new(conn, stack);
        let stored = Stored::new(&deployment.settings_document)?;
        let artifact = load(deployment.lambda_zip.clone()).await?;
        match cloud {
            Cloud::Aws => artifact.check_for_lambda()?,
            // LocalStack may run it in Amazon Linux or as a process here; only the latter takes any glibc.
            Cloud::Emulator => {
                artifact.check_for_this_machine()?;
                if let Err(error) = artifact.check_for_lambda() {
                    progress.note(&format!(
                        "{error}; that does where functions run as processes of this machine"
                    ));
                }
            }
        }
        let account = Account::of(conn).await?;
        if deployment.reach.enters(&account) {
            return Err(DeployError::OwnAccount {
                account: account.id,
            });
        }
        let bucket = Bucket::new(conn, stack, &account);
        let policy = match cloud {
            Cloud::Aws => deployment.reach.statements(&account, conn.region()),
            // None evaluates conditions on an instance's tags rightly.
            Cloud::Emulator => "account".to_owned(),
        };
        if policy.len() > LONGEST_PARAMETER {
            return Err(DeployError::ReachTooLarge { size: policy.len() });
        }
        let client = event_bridge(conn);
        let rules = Rules::new(client, stack.clone(), account.function_arn(conn, stack));
        let parameters = parameters(deployment, cloud, &artifact, &bucket, policy);
        let cloudformation = Stack::new(conn, stack);
        cloudformation.check_owner().await?;
        Ok(Self {
            conn,
            deployment,
            artifact,
            bucket,
            settings,
            stored,
            stack: cloudformation,
            rules,
            parameters,
        })
    }

    pub(super) async fn deploy(&self, progress: &dyn Progress) -> Result<Outputs, DeployError> {
        let uploaded = self.bucket.compare(&self.artifact).await? != DataChange::Keep;
        if uploaded {
            progress.detail("uploading the Lambda's code");
            self.bucket.put(&self.artifact).await?;
        }
        let document = &self.deployment.settings_document;
        let rewritten = !self.settings.holds(document).await?;
        if rewritten {
            progress.detail("writing the settings");
            self.settings.put(&self.stored).await?;
        }
        let ran_before = self.stack.code_key().await?;
        let applied = self.stack.apply(&self.parameters, progress).await?;
        // Before the rules: a rule that wakes nothing would only fail.
        let found = stack_outputs(self.conn, &self.deployment.stack).await?;
        let report = self.rules.reconcile(&self.deployment.rules).await?;
        for warning in &report.warnings {
            progress.note(warning);
        }
        let before = ran_before.as_deref();
        self.bucket.prune(&self.artifact, before).await?;
        self.settings.prune().await?;

        let stack = &self.deployment.stack;
        let nothing_changed =
            !uploaded && !rewritten && applied == Applied::Unchanged && report.changes.is_empty();
        progress.end(&match applied {
            Applied::Created => format!("`{stack}` is deployed"),
            _ if nothing_changed => format!("`{stack}` is as it should be; nothing changed"),
            _ => format!("`{stack}` is up to date"),
        });
        let created = report.changes.create.iter().chain(&report.changes.complete);
        let mut names: Vec<_> = created.map(|rule| rule.name.clone()).collect();
        names.extend(report.changes.keep);
        names.sort_unstable();
        Ok(found.with_rules(self.conn, names))
    }
}

/// Reads, checks and, if need be, zips the code: some tens of megabytes.
pub(super) async fn load(explicit: Option<PathBuf>) -> Result<Artifact, ArtifactError> {
    tokio::task::spawn_blocking(move || {
        let program = std::env::current_exe().unwrap_or_default();
        Artifact::find(explicit.as_deref(), &program)
    })
    .await
    .expect("reading the code does not panic")
}

fn parameters(
    deployment: &Deployment,
    cloud: Cloud,
    artifact: &Artifact,
    bucket: &Bucket,
    policy: String,
) -> Parameters {
    /// Inside a container of LocalStack, which is where a function runs that finds no `AWS_ENDPOINT_URL`.
    const INSIDE_LOCALSTACK: &str = "http://localhost.localstack.cloud:4566";
    let (auth, tokens) = match &deployment.auth {
        Auth::None => ("none", String::new()),
        Auth::Token(tokens) => ("token", tokens.to_string()),
        Auth::Iam => ("iam", String::new()),
    };
    let fallback = match cloud {
        Cloud::Aws => "",
        Cloud::Emulator => INSIDE_LOCALSTACK,
    };
    Parameters::from([
        ("CodeBucket", bucket.name.clone()),
        ("CodeKey", Bucket::key(artifact)),
        ("Architecture", artifact.architecture.as_str().to_owned()),
        ("Auth", auth.to_owned()),
        ("Tokens", tokens),
        (
            "CorsOrigin",
            deployment.cors_origin.clone().unwrap_or_default(),
        ),
        ("RequestLimit", deployment.request_limit.to_string()),
        ("FallbackEndpoint", fallback.to_owned()),
        ("FleetPolicy", policy),
        ("MemberRoles", deployment.reach.roles()),
        (
            "PermissionsBoundary",
            deployment.permissions_boundary.clone().unwrap_or_default(),
        ),
    ])
}
