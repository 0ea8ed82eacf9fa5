//! The parts of a deployment, their comparison with what is deployed, and the steps that update them.

use std::path::PathBuf;

use curfew_aws::configuration_document::StoredDocument;
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::gateway::may_write_logs;
use curfew_aws::progress::Progress;
use curfew_aws::rules::Rules;

use super::bucket::{self, Bucket};
use super::caller_account::CallerAccount;
use super::configuration::ConfigurationParameter;
use super::data_change::DataChange;
use super::lambda_package::{LambdaPackage, LambdaPackageError};
use super::other_stacks::{ManagedRegions, OtherStacks, managed_by_document, managed_by_stack};
use super::stack::{Applied, Parameters, Stack};
use super::{
    Auth, DeployError, Deployment, MAX_PARAMETER_LENGTH, Outputs, OverlapPolicy, event_bridge,
    stack_outputs,
};

/// The checked and resolved parts of a deployment.
pub(super) struct DeploymentPlan<'a> {
    conn: &'a Connection,
    deployment: &'a Deployment,
    pub(super) package: LambdaPackage,
    pub(super) bucket: Bucket,
    pub(super) configuration: ConfigurationParameter,
    stored: StoredDocument,
    pub(super) stack: Stack<'a>,
    pub(super) rules: Rules,
    pub(super) parameters: Parameters,
    /// The other deployments that manage some of the same accounts and regions, one sentence each.
    pub(super) overlaps: Vec<String>,
}

impl<'a> DeploymentPlan<'a> {
    pub(super) async fn new(
        conn: &'a Connection,
        deployment: &'a Deployment,
        progress: &dyn Progress,
    ) -> Result<Self, DeployError> {
        let cloud = EndpointKind::of(conn);
        let stack = &deployment.stack;
        if cloud.is_aws() && deployment.auth == Auth::None {
            return Err(DeployError::UnauthenticatedApi {
                stack: stack.clone(),
            });
        }
        let configuration = ConfigurationParameter::new(conn, stack);
        let stored = StoredDocument::new(&deployment.configuration_document)?;
        let package = load_package(deployment.lambda_zip.clone()).await?;
        match cloud {
            EndpointKind::Aws => package.check_for_lambda()?,
            // LocalStack may run it in Amazon Linux or as a process of this machine; only the latter accepts any glibc.
            EndpointKind::Emulator | EndpointKind::LocalEmulator => {
                package.check_for_this_machine()?;
                if let Err(error) = package.check_for_lambda() {
                    progress.note(&format!(
                        "{error}; the emulator can run it only as a process of this machine"
                    ));
                }
            }
        }
        let account = CallerAccount::of(conn).await?;
        if deployment.lambda_role_policy.has_role_in(&account) {
            return Err(DeployError::OwnAccount {
                account: account.id,
            });
        }
        let bucket = Bucket::new(conn, stack, &account);
        let policy = match cloud {
            EndpointKind::Aws => deployment
                .lambda_role_policy
                .policy_statements(&account, conn.region()),
            // No emulator evaluates conditions on instance tags correctly.
            EndpointKind::Emulator | EndpointKind::LocalEmulator => "account".to_owned(),
        };
        if policy.len() > MAX_PARAMETER_LENGTH {
            return Err(DeployError::PolicyTooLarge { size: policy.len() });
        }
        let client = event_bridge(conn);
        let rules = Rules::new(client, stack.clone(), account.function_arn(conn, stack));
        let cloudformation = Stack::new(conn, stack);
        cloudformation.check_owner().await?;
        let mut parameters = parameters(deployment, cloud, &package, &bucket, policy);
        parameters.insert("Endpoint", endpoint(conn));
        let access_log = access_log(conn, &cloudformation, progress).await?;
        parameters.insert("AccessLog", access_log);
        let overlaps = overlaps(conn, deployment, &account, progress).await?;
        Ok(Self {
            conn,
            deployment,
            package,
            bucket,
            configuration,
            stored,
            stack: cloudformation,
            rules,
            parameters,
            overlaps,
        })
    }

    /// Returns the bucket's state and the change to the code in it. Fails if the bucket belongs to another program.
    pub(super) async fn code(&self) -> Result<(bucket::BucketState, DataChange), DeployError> {
        let found = self.bucket.find().await?;
        let change = self.bucket.compare(&self.package, &found)?;
        Ok((found, change))
    }

    pub(super) async fn deploy(&self, progress: &dyn Progress) -> Result<Outputs, DeployError> {
        if self.deployment.overlap == OverlapPolicy::Refuse && !self.overlaps.is_empty() {
            return Err(DeployError::Overlap {
                stack: self.deployment.stack.clone(),
                others: self.overlaps.clone(),
            });
        }
        for sentence in &self.overlaps {
            progress.note(&format!("{sentence} as well"));
        }
        let (found, change) = self.code().await?;
        let claimed = self.bucket.claim(&found).await?;
        let uploaded = change != DataChange::Keep;
        if uploaded {
            progress.detail("uploading the Lambda's code");
            self.bucket.put(&self.package).await?;
        }
        let ran_before = self.stack.code_key().await?;
        // Code before configuration: new code reads older documents, but old code may not read newer ones. If the update fails, the
        // configuration stays as it is.
        let applied = self.stack.apply(&self.parameters, progress).await?;
        let document = &self.deployment.configuration_document;
        let rewritten = !self.configuration.holds(document).await?;
        if rewritten {
            progress.detail("writing the configuration");
            self.configuration.put(&self.stored).await?;
        }
        // Before the rules: fails for an incomplete stack, where rules would trigger nothing.
        let found = stack_outputs(self.conn, &self.deployment.stack).await?;
        let report = self.rules.reconcile(&self.deployment.rules).await?;
        for warning in &report.warnings {
            progress.note(warning);
        }
        let before = ran_before.as_deref();
        let pruned = self.bucket.prune(&self.package, before).await?;
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
            _ if nothing_changed => format!("`{stack}` is up to date; nothing changed"),
            _ => format!("`{stack}` is updated"),
        });
        let created = report.changes.create.iter().chain(&report.changes.complete);
        let mut names: Vec<_> = created.map(|rule| rule.name.clone()).collect();
        names.extend(report.changes.keep);
        names.sort_unstable();
        Ok(found.with_rules(self.conn, names))
    }
}

/// Reads and checks the Lambda's code, and zips a plain executable. Blocking work on tens of megabytes, so on a blocking thread.
pub(super) async fn load_package(
    explicit: Option<PathBuf>,
) -> Result<LambdaPackage, LambdaPackageError> {
    tokio::task::spawn_blocking(move || {
        let program = std::env::current_exe().unwrap_or_default();
        LambdaPackage::find(explicit.as_deref(), &program)
    })
    .await
    .expect("reading the code does not panic")
}

/// Returns one sentence for each other deployment that manages accounts or regions which this one would add. Overlaps with what it
/// manages already were accepted before.
async fn overlaps(
    conn: &Connection,
    deployment: &Deployment,
    account: &CallerAccount,
    progress: &dyn Progress,
) -> Result<Vec<String>, DeployError> {
    let stack = &deployment.stack;
    let document = &deployment.configuration_document;
    // Unreadable documents are rejected where they are created.
    let ManagedRegions::Known(wanted) = managed_by_document(document, &account.id, conn.region())
    else {
        return Ok(Vec::new());
    };
    let mut added = wanted.clone();
    if let Some(ManagedRegions::Known(before)) = managed_by_stack(conn, stack, &account.id).await {
        added.retain(|account_region| !before.contains(account_region));
    }
    if added.is_empty() {
        return Ok(Vec::new());
    }
    let other_stacks = OtherStacks::find(conn, stack, account, &wanted).await?;
    for (region, error) in &other_stacks.unreachable {
        progress.note(&format!(
            "can't check for other deployments in {region}: {error}"
        ));
    }
    Ok(other_stacks.overlaps(&added))
}

/// Returns the emulator's address for the work queue's URL in the function's environment; empty on AWS. A queue keeps the URL that it was
/// created with, so a different port is a changed parameter.
fn endpoint(conn: &Connection) -> String {
    match (EndpointKind::of(conn), conn.endpoint()) {
        (EndpointKind::Emulator | EndpointKind::LocalEmulator, Some(endpoint)) => {
            endpoint.trim_end_matches('/').to_owned()
        }
        _ => String::new(),
    }
}

/// Returns whether the API has an access log: `on` on AWS if API Gateway has a role for CloudWatch Logs, without which a stage with a log
/// can't be created. That role is an account-wide setting, which no stack should replace. If the role can't be read, the log stays as it is.
async fn access_log(
    conn: &Connection,
    stack: &Stack<'_>,
    progress: &dyn Progress,
) -> Result<String, CloudError> {
    const HINT: &str = "see docs/operate/deploying.md for the role";
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
    package: &LambdaPackage,
    bucket: &Bucket,
    policy: String,
) -> Parameters {
    /// The address inside a container of LocalStack, for functions without `AWS_ENDPOINT_URL`.
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
        ("CodeKey", Bucket::key(package)),
        ("Architecture", package.architecture.as_str().to_owned()),
        ("Auth", auth.to_owned()),
        ("Tokens", tokens),
        (
            "CorsOrigin",
            deployment.cors_origin.clone().unwrap_or_default(),
        ),
        ("RequestLimit", deployment.request_limit.to_string()),
        ("FallbackEndpoint", fallback.to_owned()),
        ("FleetPolicy", policy),
        ("MemberRoles", deployment.lambda_role_policy.role_arns()),
        (
            "PermissionsBoundary",
            deployment.permissions_boundary.clone().unwrap_or_default(),
        ),
    ])
}
