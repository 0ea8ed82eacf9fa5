//! What `curfew deploy` shows and asks before it changes anything on AWS.

use std::io::{IsTerminal, Read, Write};

use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::progress::Progress;
use curfew_config::Configuration;
use curfew_core::published::Loss;
use curfew_deploy::Deployment;
use curfew_deploy::guard::{self, GuardError};

use super::output::counted;
use super::person::Person;
use super::{CliError, Exit};

const SAID_NO: &str = "nothing was deployed: you said no";

/// Whether a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Where it matters.
    Allowed,
    /// `--yes`.
    Answered,
}

/// Shows whose account and region it is and what the stack costs, and asks where it would manage more instances than the configuration says
/// is usual.
pub(crate) async fn before_deploying(
    configuration: &Configuration,
    connection: &Connection,
    clock: &Clock,
    asking: Asking,
    progress: &dyn Progress,
    person: &mut Person<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let Some(outlook) = guard::look(connection, configuration, clock).await? else {
        return Ok(());
    };
    progress.note(&format!(
        "AWS account {}, {}, as {}",
        outlook.caller.account, outlook.region, outlook.caller.arn
    ));
    progress.note(&format!("the stack itself costs {}", outlook.cost));
    for error in &outlook.unseen {
        progress.note(&format!("{error}: its instances are not counted"));
    }
    let (managed, usual) = (outlook.managed, configuration.stack.confirm_above);
    let are = if managed == 1 { "is" } else { "are" };
    let instances = counted(managed, "instance");
    progress.note(&format!("{instances} {are} managed"));
    if managed <= usual || asking == Asking::Answered {
        return Ok(());
    }
    let told = format!(
        "{instances} would be started and stopped by schedule, more than `stack.confirm_above` ({usual})"
    );
    if !person.is_there() {
        let hint = "say --yes, or look first with `curfew plan`";
        return Err(CliError::new(Exit::Usage, told).hint(hint));
    }
    if person.confirms(&format!("{told}. Deploy? [y/N] ")) {
        return Ok(());
    }
    Err(CliError::new(Exit::Failed, SAID_NO))
}

/// Shows which deployed schedules would be dropped that another file published, and asks.
pub(crate) async fn before_dropping(
    connection: &Connection,
    deployment: &Deployment,
    asking: Asking,
    progress: &dyn Progress,
    person: &mut Person<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let (stack, document) = (&deployment.stack, &deployment.configuration_document);
    let loss = curfew_deploy::loss(connection, stack, document).await?;
    loss.map_or(Ok(()), |loss| confirm(&loss, asking, progress, person))
}

fn confirm(
    loss: &Loss,
    asking: Asking,
    progress: &dyn Progress,
    person: &mut Person<impl Read + IsTerminal, impl Write>,
) -> Result<(), CliError> {
    let told = format!("this would drop {loss}");
    if asking == Asking::Answered {
        progress.note(&told);
        return Ok(());
    }
    if !person.is_there() {
        let hint =
            "say --yes if they are to go; otherwise name the file that has them with --config";
        return Err(CliError::new(Exit::Usage, told).hint(hint));
    }
    if person.confirms(&format!("{told}. Deploy? [y/N] ")) {
        return Ok(());
    }
    Err(CliError::new(Exit::Failed, SAID_NO))
}

impl From<GuardError> for CliError {
    fn from(error: GuardError) -> Self {
        match error {
            GuardError::Cloud(error) => error.into(),
            GuardError::NoCredentials(_) => {
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
    use curfew_config::{AwsConfiguration, Overrides};

    /// The model in AWS's place, with three instances that are managed.
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
        curfew_config::load(&Overrides {
            file: Some(file),
            fallback: None,
            aws: AwsConfiguration::default(),
            environment: HashMap::new(),
        })
        .unwrap()
    }

    /// A terminal at which somebody has typed this, and its keyboard, without which it would be gone.
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

    /// What came of it, as a person reads it, after what was asked.
    async fn asked(confirm_above: usize, asking: Asking, answers: File) -> (u8, String) {
        let mut questions = Vec::new();
        let lines = Lines::new(Vec::new());
        let outcome = before_deploying(
            &configuration(confirm_above),
            &aws().await,
            &Clock::system(),
            asking,
            &lines,
            &mut Person::at(answers, &mut questions),
        )
        .await;
        let told = String::from_utf8(lines.into_inner()).unwrap();
        assert!(told.contains("note: AWS account 000000000000, eu-west-3, as "));
        assert!(told.contains("note: the stack itself costs "), "{told}");
        assert!(told.contains("note: 3 instances are managed\n"), "{told}");
        let code = match outcome {
            Ok(()) => 0,
            Err(error) => {
                error.report(&mut questions);
                error.exit() as u8
            }
        };
        (code, String::from_utf8(questions).unwrap())
    }

    const QUESTION: &str = "3 instances would be started and stopped by schedule, more than `stack.confirm_above` (2). Deploy? [y/N] ";

    #[tokio::test]
    async fn on_a_terminal_a_person_says_whether_so_many_instances_are_meant() {
        for yes in ["y\n", "Y\n", "yes\n"] {
            let (terminal, _keyboard) = terminal(yes);
            let answer = asked(2, Asking::Allowed, terminal).await;
            assert_eq!(answer, (0, QUESTION.to_owned()), "{yes:?}");
        }
        // The last ends the input.
        for no in ["n\n", "\n", "yes, please\n", "\u{4}"] {
            let (terminal, _keyboard) = terminal(no);
            let answer = asked(2, Asking::Allowed, terminal).await;
            let told = format!("{QUESTION}error: nothing was deployed: you said no\n");
            assert_eq!(answer, (1, told), "{no:?}");
        }
    }

    #[tokio::test]
    async fn where_nobody_can_be_asked_so_many_take_a_yes_beforehand() {
        let nobody = || File::open("/dev/null").unwrap();
        let (code, told) = asked(2, Asking::Allowed, nobody()).await;
        assert_eq!(code, 2);
        insta::assert_snapshot!(told, @r"
        error: 3 instances would be started and stopped by schedule, more than `stack.confirm_above` (2)
          hint: say --yes, or look first with `curfew plan`
        ");
        let nothing = (0, String::new());
        assert_eq!(asked(2, Asking::Answered, nobody()).await, nothing);
        // As many as that are usual.
        assert_eq!(asked(3, Asking::Allowed, nobody()).await, nothing);
        let (terminal, _keyboard) = terminal("n\n");
        assert_eq!(asked(2, Asking::Answered, terminal).await, nothing);
    }

    /// What came of a deployment that would drop a schedule, after what was asked and noted.
    fn dropped(asking: Asking, answers: File) -> (u8, String) {
        let loss = Loss {
            schedules: vec!["lab".to_owned()],
            publisher: Some("laptop:/home/alice/curfew.toml".to_owned()),
        };
        let mut questions = Vec::new();
        let lines = Lines::new(Vec::new());
        let outcome = confirm(
            &loss,
            asking,
            &lines,
            &mut Person::at(answers, &mut questions),
        );
        let code = match outcome {
            Ok(()) => 0,
            Err(error) => {
                error.report(&mut questions);
                error.exit() as u8
            }
        };
        questions.extend(lines.into_inner());
        (code, String::from_utf8(questions).unwrap())
    }

    #[test]
    fn what_another_file_published_is_dropped_on_a_persons_word_alone() {
        const TOLD: &str =
            "this would drop the schedule `lab`, which `laptop:/home/alice/curfew.toml` published";
        let (at, _keyboard) = terminal("y\n");
        let question = format!("{TOLD}. Deploy? [y/N] ");
        assert_eq!(dropped(Asking::Allowed, at), (0, question.clone()));
        let (at, _keyboard) = terminal("\n");
        let told = format!("{question}error: nothing was deployed: you said no\n");
        assert_eq!(dropped(Asking::Allowed, at), (1, told));
        let nobody = || File::open("/dev/null").unwrap();
        let (code, told) = dropped(Asking::Allowed, nobody());
        assert_eq!(code, 2);
        assert!(
            told.starts_with(&format!("error: {TOLD}\n  hint: say --yes")),
            "{told}"
        );
        let noted = format!("note: {TOLD}\n");
        assert_eq!(dropped(Asking::Answered, nobody()), (0, noted));
    }
}
