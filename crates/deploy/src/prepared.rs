//! Everything that a deployment consists of, compared with what is there, and the steps in between.

use std::path::PathBuf;

use curfew_aws::configuration_document::StoredDocument;
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::gateway::may_write_logs;
use curfew_aws::progress::Progress;
use curfew_aws::rules::Rules;

use super::artifact::{Artifact, ArtifactError};
use super::bucket::{self, Bucket};
use super::configuration::ConfigurationParameter;
use super::data_change::DataChange;
use super::overlap::{Managed, Neighbours, managed_by_document, managed_by_stack};
use super::place::Account;
use super::stack::{Applied, Parameters, Stack};
use super::{
    Auth, DeployError, Deployment, LONGEST_PARAMETER, Outputs, Overlap, event_bridge, stack_outputs,
};

/// Everything that a deployment consists of, ready to be compared with what is there.
pub(super) struct Prepared<'a> {
    conn: &'a Connection,
    deployment: &'a Deployment,
    pub(super) artifact: Artifact,
    pub(super) bucket: Bucket,
    pub(super) configuration: ConfigurationParameter,
    stored: StoredDocument,
    pub(super) stack: Stack<'a>,
    pub(super) rules: Rules,
    pub(super) parameters: Parameters,
    /// What other deployments there are that a person should know of, one sentence each.
    pub(super) shared: Vec<String>,
}

impl<'a> Prepared<'a> {
    pub(super) async fn new(
        conn: &'a Connection,
        deployment: &'a Deployment,
        progress: &dyn Progress,
    ) -> Result<Self, DeployError> {
        let cloud = EndpointKind::of(conn);
        let stack = &deployment.stack;
        if cloud.is_aws() && deployment.auth == Auth::None {
            return Err(DeployError::Open {
                stack: stack.clone(),
            });
        }
        let configuration = ConfigurationParameter::new(conn, stack);
        let stored = StoredDocument::new(&deployment.configuration_document)?;
        let artifact = load(deployment.lambda_zip.clone()).await?;
        match cloud {
            EndpointKind::Aws => artifact.check_for_lambda()?,
            // LocalStack may run it in Amazon Linux or as a process here; only the latter takes any glibc.
            EndpointKind::Emulator | EndpointKind::LocalEmulator => {
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
            EndpointKind::Aws => deployment.reach.statements(&account, conn.region()),
            // None evaluates conditions on an instance's tags rightly.
            EndpointKind::Emulator | EndpointKind::LocalEmulator => "account".to_owned(),
        };
        if policy.len() > LONGEST_PARAMETER {
            return Err(DeployError::ReachTooLarge { size: policy.len() });
        }
        let client = event_bridge(conn);
        let rules = Rules::new(client, stack.clone(), account.function_arn(conn, stack));
        let cloudformation = Stack::new(conn, stack);
        cloudformation.check_owner().await?;
        let mut parameters = parameters(deployment, cloud, &artifact, &bucket, policy);
        parameters.insert("Endpoint", endpoint(conn));
        let access_log = access_log(conn, &cloudformation, progress).await?;
        parameters.insert("AccessLog", access_log);
        let shared = shared(conn, deployment, &account, progress).await?;
        Ok(Self {
            conn,
            deployment,
            artifact,
            bucket,
            configuration,
            stored,
            stack: cloudformation,
            rules,
            parameters,
            shared,
        })
    }

    /// What is under the bucket's name, and what becomes of the code in it. Refuses a bucket that is another program's.
    pub(super) async fn code(&self) -> Result<(bucket::Found, DataChange), DeployError> {
        let found = self.bucket.find().await?;
        let change = self.bucket.compare(&self.artifact, &found)?;
        Ok((found, change))
    }

    pub(super) async fn deploy(&self, progress: &dyn Progress) -> Result<Outputs, DeployError> {
        if self.deployment.overlap == Overlap::Refused && !self.shared.is_empty() {
            return Err(DeployError::Shared {
                stack: self.deployment.stack.clone(),
                others: self.shared.clone(),
            });
        }
        for sentence in &self.shared {
            progress.note(&format!("{sentence} as well"));
        }
        let (found, change) = self.code().await?;
        let claimed = self.bucket.claim(&found).await?;
        let uploaded = change != DataChange::Keep;
        if uploaded {
            progress.detail("uploading the Lambda's code");
            self.bucket.put(&self.artifact).await?;
        }
        let ran_before = self.stack.code_key().await?;
        // Code goes before configuration: what runs from here on reads what was published for the release before, which could not
        // read what is published next. Where the update fails, the configuration stays as they are.
        let applied = self.stack.apply(&self.parameters, progress).await?;
        let document = &self.deployment.configuration_document;
        let rewritten = !self.configuration.holds(document).await?;
        if rewritten {
            progress.detail("writing the configuration");
            self.configuration.put(&self.stored).await?;
        }
        // Before the rules: a rule that wakes nothing would only fail.
        let found = stack_outputs(self.conn, &self.deployment.stack).await?;
        let report = self.rules.reconcile(&self.deployment.rules).await?;
        for warning in &report.warnings {
            progress.note(warning);
        }
        let before = ran_before.as_deref();
        let pruned = self.bucket.prune(&self.artifact, before).await?;
        for key in &pruned {
            progress.note(&format!("removed older code: `{key}`"));
        }
        self.configuration.prune().await?;

        let stack = &self.deployment.stack;
        let nothing_changed = !claimed
            && !uploaded
            && !rewritten
            && pruned.is_empty()
            && applied == Applied::Unchanged
            && report.changes.is_empty();
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

/// The other deployments that manage accounts and regions which this one would add to what it manages, one sentence each. What it
/// manages already was allowed before, when it or the other one came.
async fn shared(
    conn: &Connection,
    deployment: &Deployment,
    account: &Account,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    let stack = &deployment.stack;
    let document = &deployment.configuration_document;
    // Documents that can't be read are refused where they are made.
    let Managed::Known(wanted) = managed_by_document(document, &account.id, conn.region()) else {
        return Ok(Vec::new());
    };
    let mut added = wanted.clone();
    if let Some(Managed::Known(before)) = managed_by_stack(conn, stack, &account.id).await {
        added.retain(|place| !before.contains(place));
    }
    if added.is_empty() {
        return Ok(Vec::new());
    }
    let neighbours = Neighbours::find(conn, stack, account, &wanted).await?;
    for (region, error) in &neighbours.unseen {
        progress.note(&format!(
            "it can't be looked up whether another deployment is in {region}: {error}"
        ));
    }
    Ok(neighbours.shared(&added))
}

/// The emulator's address, from which the function's environment names the work queue: a queue keeps the address that it was made
/// under, so that a moved port is a changed parameter.
fn endpoint(conn: &Connection) -> String {
    match (EndpointKind::of(conn), conn.endpoint()) {
        (EndpointKind::Emulator | EndpointKind::LocalEmulator, Some(endpoint)) => {
            endpoint.trim_end_matches('/').to_owned()
        }
        _ => String::new(),
    }
}

/// Whether the API has an access log: on AWS, where API Gateway has a role to write it with. Without one, a stage with a log can't be
/// made; and the role is the account's, so that no stack should make or replace it. Where it can't be looked up, it stays as it is.
async fn access_log(
    conn: &Connection,
    stack: &Stack<'_>,
    progress: &dyn Progress,
) -> Result<String, CloudError> {
    const HINT: &str = "docs/deploy.md says how to give API Gateway the role";
    let off = || "off".to_owned();
    if !EndpointKind::of(conn).is_aws() {
        return Ok(off());
    }
    match may_write_logs(conn).await {
        Ok(true) => Ok("on".to_owned()),
        Ok(false) => {
            progress.note(&format!(
                "the API has no access log, because API Gateway has no role in this account and region to write it with; {HINT}"
            ));
            Ok(off())
        }
        Err(error) => {
            let present = stack.parameter("AccessLog").await?.unwrap_or_else(off);
            progress.note(&format!("the API's access log stays {present}: {error}"));
            Ok(present)
        }
    }
}

fn parameters(
    deployment: &Deployment,
    cloud: EndpointKind,
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
        EndpointKind::Aws => "",
        EndpointKind::Emulator | EndpointKind::LocalEmulator => INSIDE_LOCALSTACK,
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
