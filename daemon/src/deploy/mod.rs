//! Putting Curfew into an account and region, saying how it is reached there, and taking it out again. Every step looks before it
//! writes: what is interrupted is completed by the next run, and a second run writes nothing.

pub mod artifact;
mod bucket;
pub mod change_set;
pub mod guard;
mod outputs;
mod publish;
mod reach;
mod settings;
mod survey;

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_sdk_sts::Client as Sts;
use curfew_aws::connect::Connection;
use curfew_aws::document::{Stored, TooLarge};
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::rules::{RuleChanges, Rules, StackName, WakeUpRule};
use curfew_core::token::Tokens;
use serde::Serialize;

use self::artifact::{Artifact, ArtifactError};
use self::bucket::Bucket;
pub use self::change_set::TEMPLATE;
use self::change_set::{Applied, ResourceChange, Stack};
pub use self::outputs::Outputs;
pub use self::publish::publish;
pub use self::reach::Reach;
use self::settings::SettingsParameter;
pub use self::survey::{StackQueue, Survey};
use crate::progress::Progress;

/// A CloudFormation template for the role in an account that Curfew governs from another.
pub const MEMBER_ROLE: &str = include_str!("member-role.yaml");

/// What to deploy.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Which of the account's and region's deployments this is.
    pub stack: StackName,
    /// Who may call the API.
    pub auth: Auth,
    /// The one other site whose pages may call it.
    pub cors_origin: Option<String>,
    /// How many instances one request may change that does not say all.
    pub request_limit: usize,
    /// What the Lambda reads: the schedules, as JSON.
    pub settings_document: String,
    /// The rules that wake the Lambda: at the schedules' edges, and the heartbeat.
    pub rules: Vec<WakeUpRule>,
    /// Which instances the Lambda may act on.
    pub reach: Reach,
    /// The ARN of the policy that bounds what the Lambda's role may do.
    pub permissions_boundary: Option<String>,
    /// The Lambda's code; otherwise it is looked for.
    pub lambda_zip: Option<PathBuf>,
}

/// Who may call the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody who reaches it: only for an emulator.
    None,
    /// Whoever holds one of these tokens, of which only the digests are deployed.
    Token(Tokens),
    /// Whoever AWS lets.
    Iam,
}

/// What deploying would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Whether new code would be uploaded.
    pub code: bool,
    /// Whether the schedules that the Lambda knows would change.
    pub settings: bool,
    /// The stack's resources.
    pub resources: Vec<ResourceChange>,
    /// The rules.
    pub rules: RuleChanges,
}

/// What destroying removed, by name. Empty if there was nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// EventBridge rules.
    pub rules: Vec<String>,
    /// The CloudFormation stack, with everything in it.
    pub stack: Option<StackName>,
    /// The bucket, with the code.
    pub bucket: Option<String>,
    /// The SSM parameters with the settings.
    pub parameters: Vec<String>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A call failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// There is no code to deploy.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// On AWS an API without authentication would let anybody stop the fleet.
    #[error("the API of `{stack}` would be open to everybody, because its `auth` is `none`")]
    Open {
        /// The stack.
        stack: StackName,
    },
    /// The settings don't fit.
    #[error(transparent)]
    SettingsTooLarge(#[from] TooLarge),
    /// The policy doesn't fit.
    #[error(
        "the policy for the instances that the schedules match takes {size} bytes, {} more than CloudFormation's {LONGEST_PARAMETER}",
        .size - LONGEST_PARAMETER
    )]
    ReachTooLarge {
        /// Its size.
        size: usize,
    },
    /// Its instances would be governed twice.
    #[error("`[[account]]` names {account}, which is the account that is deployed into")]
    OwnAccount {
        /// Its id.
        account: String,
    },
    /// The name is taken.
    #[error("the CloudFormation stack `{stack}` is there and is not Curfew's")]
    ForeignStack {
        /// The stack.
        stack: StackName,
    },
    /// Only a person can help.
    #[error(
        "the CloudFormation stack `{stack}` is in UPDATE_ROLLBACK_FAILED: CloudFormation could not undo an update"
    )]
    StuckStack {
        /// The stack.
        stack: StackName,
    },
    /// It can't be previewed now.
    #[error(
        "the CloudFormation stack `{stack}` is in {status}, so what would change can't be told"
    )]
    Unsettled {
        /// The stack.
        stack: StackName,
        /// Its status.
        status: String,
    },
    /// CloudFormation doesn't take the template.
    #[error("CloudFormation could not make a change set for the stack `{stack}`: {reason}")]
    ChangeSet {
        /// The stack.
        stack: StackName,
        /// Its words.
        reason: String,
    },
    /// A resource could not be made, changed or removed.
    #[error("the stack `{stack}` ended in {status}{}", reasons(.failures))]
    Failed {
        /// The stack.
        stack: StackName,
        /// Its status.
        status: String,
        /// What failed, with the reason.
        failures: Vec<String>,
    },
    /// The stack is there, but not all of it.
    #[error("the stack `{stack}` is not whole: it has no output `{output}`")]
    Incomplete {
        /// The stack.
        stack: StackName,
        /// What is missing.
        output: &'static str,
    },
    /// There is nothing.
    #[error("the stack `{stack}` is not deployed here")]
    NotDeployed {
        /// The stack.
        stack: StackName,
    },
}

impl DeployError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Artifact(error) => error.hint(),
            Self::Open { .. } => "set `[api] auth` to \"token\" or \"iam\"",
            Self::SettingsTooLarge(_) => {
                "split the schedules over two stacks, or shorten lists of dates and ids"
            }
            Self::ReachTooLarge { .. } => {
                "govern instances by their tag rather than by long `match` tables"
            }
            Self::OwnAccount { .. } => {
                "name its regions in `[governing] regions` and take it out; or deploy with the credentials of the account that is meant"
            }
            Self::ForeignStack { .. } => "choose another name in `[stack] name`",
            Self::StuckStack { .. } => {
                "continue the rollback in the CloudFormation console, or `curfew destroy` and deploy again"
            }
            Self::Unsettled { .. } => {
                "wait until it has ended, or `curfew deploy`, which handles it"
            }
            Self::ChangeSet { .. } | Self::Failed { .. } => {
                "the reason names what AWS did not accept; `curfew deploy` tries again from where it is"
            }
            Self::Incomplete { .. } | Self::NotDeployed { .. } => {
                "`curfew deploy`; or check the endpoint, the region and the account"
            }
        }
    }
}

fn reasons(failures: &[String]) -> String {
    if failures.is_empty() {
        String::new()
    } else {
        format!(": {}", failures.join("; "))
    }
}

/// A parameter's longest value.
const LONGEST_PARAMETER: usize = 4096;

/// AWS itself, or something that speaks its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cloud {
    Aws,
    Emulator,
}

impl Cloud {
    /// AWS may be reached by an endpoint of one's own, in a private network; its name tells.
    fn of(conn: &Connection) -> Self {
        let host = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split([':', '/']).next().unwrap_or_default().to_owned()
        };
        let aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
        match conn.endpoint().map(host) {
            Some(host) if !aws.iter().any(|domain| host.ends_with(domain)) => Self::Emulator,
            _ => Self::Aws,
        }
    }
}

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    id: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    partition: String,
}

impl Account {
    async fn of(conn: &Connection) -> Result<Self, CloudError> {
        let operation = "sts:GetCallerIdentity";
        let identity = Sts::new(&conn.sdk)
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| CloudError::from_sdk(operation, error))?;
        let partition = identity.arn().and_then(|arn| arn.split(':').nth(1));
        let (Some(id), Some(partition)) = (identity.account(), partition) else {
            let what = "the answer names no account";
            return Err(CloudError::new(operation, CloudErrorKind::Service, what));
        };
        Ok(Self {
            id: id.to_owned(),
            partition: partition.to_owned(),
        })
    }

    /// The Lambda's, also while there is none.
    fn function_arn(&self, conn: &Connection, stack: &StackName) -> String {
        format!(
            "arn:{}:lambda:{}:{}:function:{}",
            self.partition,
            conn.region(),
            self.id,
            stack.prefix()
        )
    }
}

/// Everything that a deployment consists of, ready to be compared with what is there.
struct Prepared<'a> {
    conn: &'a Connection,
    deployment: &'a Deployment,
    artifact: Artifact,
    bucket: Bucket,
    settings: SettingsParameter,
    stored: Stored,
    stack: Stack<'a>,
    rules: Rules,
    parameters: BTreeMap<&'static str, String>,
}

/// Deploys, or brings what is deployed up to date.
pub async fn deploy(
    conn: &Connection,
    deployment: &Deployment,
    progress: &dyn Progress,
) -> Result<Outputs, DeployError> {
    progress.begin(&format!("Deploying `{}`", deployment.stack));
    let prepared = Prepared::new(conn, deployment, progress).await?;
    prepared.deploy(progress).await
}

/// What [`deploy`] would change. Nothing is uploaded or changed, but CloudFormation is asked by a change set, which is a writing call.
pub async fn preview(
    conn: &Connection,
    deployment: &Deployment,
    progress: &dyn Progress,
) -> Result<Preview, DeployError> {
    let prepared = Prepared::new(conn, deployment, progress).await?;
    Ok(Preview {
        code: !prepared.bucket.holds(&prepared.artifact).await?,
        settings: !prepared
            .settings
            .holds(&deployment.settings_document)
            .await?,
        resources: prepared.stack.preview(&prepared.parameters).await?,
        rules: prepared.rules.preview(&deployment.rules).await?,
    })
}

/// How what is deployed is reached.
pub async fn outputs(conn: &Connection, stack: &StackName) -> Result<Outputs, DeployError> {
    let found = stack_outputs(conn, stack).await?;
    let client = aws_sdk_eventbridge::Client::new(&conn.sdk);
    let rules = Rules::new(client, stack.clone(), &found.function_arn);
    let names = rules.names().await?;
    Ok(found.with_rules(conn, names))
}

/// Removes all that [`deploy`] made, and no instance. What is gone already is no error.
pub async fn destroy(
    conn: &Connection,
    stack: &StackName,
    progress: &dyn Progress,
) -> Result<Removed, DeployError> {
    progress.begin(&format!("Removing `{stack}`"));
    let account = Account::of(conn).await?;
    let cloudformation = Stack::new(conn, stack);
    cloudformation.check_owner().await?;
    let client = aws_sdk_eventbridge::Client::new(&conn.sdk);
    // First, so that nothing wakes what is being taken apart.
    progress.detail("rules");
    let rules = Rules::new(client, stack.clone(), account.function_arn(conn, stack));
    let report = rules.reconcile(&[]).await?;
    for warning in &report.warnings {
        progress.note(warning);
    }
    let had_stack = cloudformation.remove(progress).await?;
    progress.detail("bucket and settings");
    let bucket = Bucket::new(conn, stack, &account);
    let had_bucket = bucket.remove().await?;
    let parameter = SettingsParameter::new(conn, stack);
    let parameters = parameter.remove().await?;
    let removed = Removed {
        rules: report.changes.delete,
        stack: had_stack.then(|| stack.clone()),
        bucket: had_bucket.then_some(bucket.name),
        parameters,
    };
    progress.end(&if removed == Removed::default() {
        format!("There was nothing of `{stack}` to remove")
    } else {
        format!("`{stack}` is removed")
    });
    Ok(removed)
}

async fn stack_outputs(
    conn: &Connection,
    stack: &StackName,
) -> Result<outputs::StackOutputs, DeployError> {
    let description = Stack::new(conn, stack).describe().await?;
    let description = description.ok_or_else(|| DeployError::NotDeployed {
        stack: stack.clone(),
    })?;
    outputs::of_stack(&description).map_err(|output| DeployError::Incomplete {
        stack: stack.clone(),
        output,
    })
}

impl<'a> Prepared<'a> {
    async fn new(
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
        let client = aws_sdk_eventbridge::Client::new(&conn.sdk);
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

    async fn deploy(&self, progress: &dyn Progress) -> Result<Outputs, DeployError> {
        let uploaded = !self.bucket.holds(&self.artifact).await?;
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
        let applied = self.stack.apply(&self.parameters, progress).await?;
        // Before the rules: a rule that wakes nothing would only fail.
        let found = stack_outputs(self.conn, &self.deployment.stack).await?;
        let report = self.rules.reconcile(&self.deployment.rules).await?;
        for warning in &report.warnings {
            progress.note(warning);
        }
        self.bucket.prune(&self.artifact).await?;
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
async fn load(explicit: Option<PathBuf>) -> Result<Artifact, ArtifactError> {
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
) -> BTreeMap<&'static str, String> {
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
    BTreeMap::from([
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
