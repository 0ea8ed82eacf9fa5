//! The checks and prompts before `curfew deploy` changes anything.

use std::io::{IsTerminal, Read, Write};

use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::progress::Progress;
use curfew_config::Configuration;
use curfew_core::deployed_document::LostSchedules;
use curfew_deploy::Deployment;
use curfew_deploy::preflight::{self, PreflightError};

use crate::confirm::{Confirmation, Prompt, UnconfirmedChange};
use crate::output::counted;
use crate::{CliError, Exit};

/// Shows the account, the region and the cost of the stack. Prompts if it would manage more instances than `stack.confirm_above`.
pub(super) async fn before_deploying(
    configuration: &Configuration,
    connection: &Connection,
    clock: &Clock,
    confirmation: Confirmation,
    progress: &dyn Progress,
    prompt: &mut Prompt<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let Some(outlook) = preflight::check(connection, configuration, clock).await? else {
        return Ok(());
    };
    progress.note(&format!(
        "AWS account {}, {}, as {}",
        outlook.caller.account, outlook.region, outlook.caller.arn
    ));
    progress.note(&format!("the stack itself costs {}", outlook.cost));
    for error in &outlook.unreachable {
        progress.note(&format!("{error}: its instances are not counted"));
    }
    let (managed, usual) = (outlook.managed, configuration.stack.confirm_above);
    let are = if managed == 1 { "is" } else { "are" };
    let instances = counted(managed, "instance");
    progress.note(&format!("{instances} {are} managed"));
    if managed <= usual {
        return Ok(());
    }
    let reason = format!(
        "{instances} would be started and stopped by schedule, more than `stack.confirm_above` ({usual})"
    );
    let hint = "pass --yes, or check with `curfew plan` first";
    require(confirmation, &reason, hint, prompt)
}

/// Asks whether to deploy nevertheless.
fn require(
    confirmation: Confirmation,
    reason: &str,
    hint: &str,
    prompt: &mut Prompt<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let change = UnconfirmedChange {
        action: "deploy",
        reason: Some(reason),
        question: &format!("{reason}. Deploy?"),
        declined: "nothing was deployed",
        hint,
    };
    confirmation.require(&change, prompt)
}

/// Prompts if the deployment would drop schedules that another file published.
pub(super) async fn before_dropping(
    connection: &Connection,
    deployment: &Deployment,
    confirmation: Confirmation,
    progress: &dyn Progress,
    prompt: &mut Prompt<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let (stack, document) = (&deployment.stack, &deployment.configuration_document);
    let loss = curfew_deploy::lost_schedules(connection, stack, document).await?;
    loss.map_or(Ok(()), |loss| {
        confirm(&loss, confirmation, progress, prompt)
    })
}

fn confirm(
    loss: &LostSchedules,
    confirmation: Confirmation,
    progress: &dyn Progress,
    prompt: &mut Prompt<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let message = format!("this would drop {loss}");
    if confirmation == Confirmation::Assumed {
        progress.note(&message);
        return Ok(());
    }
    let hint = "pass --yes to drop them, or pass the file that has them with --config";
    require(confirmation, &message, hint, prompt)
}

impl From<PreflightError> for CliError {
    fn from(error: PreflightError) -> Self {
        match error {
            PreflightError::Cloud(error) => error.into(),
            PreflightError::NoCredentials(_) => {
                let hint = error.hint();
                Self::new(Exit::NotAuthorised, error.to_string()).hint(hint)
            }
            error => {
                let hint = error.hint();
                Self::new(Exit::Usage, error.to_string()).hint(hint)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs::File;

    use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
    use curfew_aws::connect::ConnectOptions;
    use curfew_model::{Launch, Model, TimeSource, direct};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;
    use crate::progress::Lines;
    use curfew_config::{AwsConfiguration, LoadOptions};

    /// Connects to a model of AWS with three managed instances.
    async fn aws() -> Connection {
        let ec2 = Model::new("2026-11-23T18:00:00Z".parse().unwrap());
        for name in ["web", "db", "batch"] {
            let launch = Launch::new(name).region("eu-west-3");
            ec2.launch(launch.tag("Schedule", "office"));
        }
        let options = ConnectOptions {
            region: Some("eu-west-3".to_owned()),
            ..ConnectOptions::default()
        };
        let mut conn = Connection::open(options).await.unwrap();
        let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "test", None, None, "test");
        conn.sdk = conn
            .sdk
            .into_builder()
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(direct(ec2, TimeSource::Held))
            .build();
        conn
    }

    fn configuration(confirm_above: usize) -> Configuration {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("curfew.toml");
        let text = format!(
            "[stack]\nconfirm_above = {confirm_above}\n\
             [schedules.office]\ntimezone = \"UTC\"\nrunning = \"Mon-Fri 08:00-20:00\"\n"
        );
        std::fs::write(&file, text).unwrap();
        curfew_config::load(&LoadOptions {
            file: Some(file),
            fallback: None,
            aws: AwsConfiguration::default(),
            environment: HashMap::new(),
        })
        .unwrap()
    }

    /// Returns a pseudo-terminal with typed input, and its controlling side, which must stay open.
    fn terminal(typed: &str) -> (File, File) {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let path = name.to_str().unwrap();
        let terminal = File::options().read(true).write(true).open(path).unwrap();
        let mut keyboard = File::from(main);
        keyboard.write_all(typed.as_bytes()).unwrap();
        (terminal, keyboard)
    }

    /// Returns the exit code, and the prompt followed by the error.
    async fn asked(
        confirm_above: usize,
        confirmation: Confirmation,
        answers: File,
    ) -> (u8, String) {
        let mut questions = Vec::new();
        let lines = Lines::new(Vec::new());
        let outcome = before_deploying(
            &configuration(confirm_above),
            &aws().await,
            &Clock::system(),
            confirmation,
            &lines,
            &mut Prompt::new(answers, &mut questions),
        )
        .await;
        let message = String::from_utf8(lines.into_inner()).unwrap();
        assert!(message.contains("note: AWS account 000000000000, eu-west-3, as "));
        assert!(
            message.contains("note: the stack itself costs "),
            "{message}"
        );
        assert!(
            message.contains("note: 3 instances are managed\n"),
            "{message}"
        );
        let code = match outcome {
            Ok(()) => 0,
            Err(error) => {
                error.report(crate::Format::Table, &mut questions);
                error.exit() as u8
            }
        };
        (code, String::from_utf8(questions).unwrap())
    }

    const QUESTION: &str = "3 instances would be started and stopped by schedule, more than `stack.confirm_above` (2). Deploy? [y/N] ";

    #[tokio::test]
    async fn a_deployment_above_the_limit_prompts_on_a_terminal() {
        for yes in ["y\n", "Y\n", "yes\n"] {
            let (terminal, _keyboard) = terminal(yes);
            let answer = asked(2, Confirmation::Ask, terminal).await;
            assert_eq!(answer, (0, QUESTION.to_owned()), "{yes:?}");
        }
        // The last answer ends the input.
        for no in ["n\n", "\n", "yes, please\n", "\u{4}"] {
            let (terminal, _keyboard) = terminal(no);
            let answer = asked(2, Confirmation::Ask, terminal).await;
            let message = format!("{QUESTION}error: nothing was deployed: not confirmed\n");
            assert_eq!(answer, (1, message), "{no:?}");
        }
    }

    #[tokio::test]
    async fn a_deployment_above_the_limit_without_a_terminal_needs_yes() {
        let no_terminal = || File::open("/dev/null").unwrap();
        let (code, message) = asked(2, Confirmation::Ask, no_terminal()).await;
        assert_eq!(code, 2);
        insta::assert_snapshot!(message, @r"
        error: refusing to deploy without confirmation: 3 instances would be started and stopped by schedule, more than `stack.confirm_above` (2), and standard input is not a terminal
          hint: pass --yes, or check with `curfew plan` first
        ");
        let nothing = (0, String::new());
        assert_eq!(
            asked(2, Confirmation::Assumed, no_terminal()).await,
            nothing
        );
        // Three instances are within the limit.
        assert_eq!(asked(3, Confirmation::Ask, no_terminal()).await, nothing);
        let (terminal, _keyboard) = terminal("n\n");
        assert_eq!(asked(2, Confirmation::Assumed, terminal).await, nothing);
    }

    /// Returns the exit code of a deployment that would drop a schedule, and the prompt, the error and the notes.
    fn dropped(confirmation: Confirmation, answers: File) -> (u8, String) {
        let loss = LostSchedules {
            schedules: vec!["lab".to_owned()],
            publisher: Some("laptop:/home/alice/curfew.toml".to_owned()),
        };
        let mut questions = Vec::new();
        let lines = Lines::new(Vec::new());
        let outcome = confirm(
            &loss,
            confirmation,
            &lines,
            &mut Prompt::new(answers, &mut questions),
        );
        let code = match outcome {
            Ok(()) => 0,
            Err(error) => {
                error.report(crate::Format::Table, &mut questions);
                error.exit() as u8
            }
        };
        questions.extend(lines.into_inner());
        (code, String::from_utf8(questions).unwrap())
    }

    #[test]
    fn dropping_schedules_of_another_file_needs_confirmation() {
        const WARNING: &str =
            "this would drop the schedule `lab`, which `laptop:/home/alice/curfew.toml` published";
        let (at, _keyboard) = terminal("y\n");
        let question = format!("{WARNING}. Deploy? [y/N] ");
        assert_eq!(dropped(Confirmation::Ask, at), (0, question.clone()));
        let (at, _keyboard) = terminal("\n");
        let message = format!("{question}error: nothing was deployed: not confirmed\n");
        assert_eq!(dropped(Confirmation::Ask, at), (1, message));
        let no_terminal = || File::open("/dev/null").unwrap();
        let (code, message) = dropped(Confirmation::Ask, no_terminal());
        assert_eq!(code, 2);
        assert!(
            message.starts_with(&format!(
                "error: refusing to deploy without confirmation: {WARNING}, and standard input is not a terminal\n  hint: pass --yes"
            )),
            "{message}"
        );
        let noted = format!("note: {WARNING}\n");
        assert_eq!(dropped(Confirmation::Assumed, no_terminal()), (0, noted));
    }
}
