//! The help of the command line: the groups of commands, and the examples of each. The man pages are generated from the same command.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::engine::ArgValueCompleter;

use crate::{Cli, complete};

/// The groups of the commands in the order of the help text. Each visible command is in one of them.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Try (no AWS account needed)",
        &["up", "init", "check", "simulate", "next"],
    ),
    (
        "Look",
        &[
            "status", "plan", "explain", "history", "savings", "doctor", "outputs",
        ],
    ),
    ("Act", &["start", "stop", "resume", "apply"]),
    ("Deploy", &["deploy", "destroy", "run", "token", "notify"]),
    (
        "Export (no credentials needed)",
        &[
            "import",
            "rules",
            "template",
            "document",
            "member-role",
            "schema",
            "completions",
        ],
    ),
];

const EXIT_CODES: &str = "\
Exit codes:
  0 success         1 error            2 invalid usage or configuration
  3 nothing matched 4 not authorised   5 endpoint unreachable";

/// An example: a sentence, and the command line.
type Example = (&'static str, &'static str);

/// The examples of the program itself.
const PROGRAM: &[Example] = &[
    ("Try Curfew without an AWS account", "curfew up"),
    (
        "Write a configuration, see what it does, and deploy it",
        "curfew init && curfew simulate && curfew deploy",
    ),
];

/// The examples of `token` and of its only command.
const TOKEN_NEW: &[Example] = &[
    ("Create a token for a person", "curfew token new alice"),
    ("Create one shared token", "curfew token new"),
];

/// The examples of `notify` and of its only command.
const NOTIFY_TEST: &[Example] = &[
    (
        "Send a test notification to all destinations",
        "curfew notify test",
    ),
    ("Print the results as JSON", "curfew notify test -o json"),
];

/// The examples of each command. Commands of two words have their own.
const COMMANDS: &[(&str, &[Example])] = &[
    (
        "up",
        &[
            (
                "Run the demo, and open its page in the browser",
                "curfew up --open",
            ),
            (
                "Try your own schedules on another port",
                "curfew up --config curfew.toml --port 4600",
            ),
        ],
    ),
    (
        "init",
        &[
            ("Answer three questions", "curfew init"),
            (
                "Write a configuration without questions",
                "curfew init --timezone America/New_York --running 'Mon-Fri 07:00-19:00'",
            ),
        ],
    ),
    (
        "check",
        &[
            ("Validate ./curfew.toml", "curfew check"),
            (
                "Validate a file in CI",
                "curfew check deploy/curfew.toml -o json",
            ),
        ],
    ),
    (
        "simulate",
        &[
            ("Show when instances would run", "curfew simulate"),
            (
                "Write a page about one schedule",
                "curfew simulate --schedule office --out office.html",
            ),
        ],
    ),
    (
        "next",
        &[
            ("List the next edges of all schedules", "curfew next"),
            (
                "List the edges of a schedule from Christmas Eve on",
                "curfew next --schedule office --from 2026-12-24",
            ),
        ],
    ),
    (
        "status",
        &[
            (
                "Show the managed instances, and refresh every 5 seconds",
                "curfew status --watch",
            ),
            (
                "Show the instances of a team, including unmanaged ones",
                "curfew status --tag Team=payments --all",
            ),
        ],
    ),
    (
        "plan",
        &[
            ("Show what a pass would do now", "curfew plan"),
            (
                "List the instances that would be stopped",
                "curfew plan -o json | jq -r '.steps[] | select(.action == \"stop\") | .id'",
            ),
        ],
    ),
    (
        "explain",
        &[
            (
                "Explain why an instance runs or not",
                "curfew explain web-1",
            ),
            (
                "Explain what a schedule wants on Friday evening",
                "curfew explain --schedule office --at 'friday 18:00'",
            ),
        ],
    ),
    (
        "history",
        &[
            (
                "Show what happened since yesterday",
                "curfew history --since yesterday",
            ),
            (
                "Export the changes of an instance by people",
                "curfew history --instance web-1 --cause request -o csv > web-1.csv",
            ),
        ],
    ),
    (
        "savings",
        &[
            (
                "Report the last 30 days for each schedule",
                "curfew savings",
            ),
            (
                "Report since a date for each instance",
                "curfew savings --since 2026-11-01 --by instance",
            ),
        ],
    ),
    (
        "doctor",
        &[
            (
                "Check the machine, the credentials and the stack",
                "curfew doctor",
            ),
            (
                "Check another configuration and profile",
                "curfew doctor --config prod.toml --profile prod",
            ),
        ],
    ),
    (
        "outputs",
        &[
            ("Print the URL of the page and the API", "curfew outputs"),
            (
                "Query the API of the stack",
                "curl -s \"$(curfew outputs -o json | jq -r .api_url)/status\"",
            ),
        ],
    ),
    (
        "start",
        &[
            (
                "Start an instance until its next edge",
                "curfew start web-1",
            ),
            (
                "Keep the instances of a schedule up until Friday evening",
                "curfew start --schedule office --until 'friday 18:00' --yes",
            ),
        ],
    ),
    (
        "stop",
        &[
            ("Stop an instance until its next edge", "curfew stop web-1"),
            (
                "Show what would be stopped for two hours and a half",
                "curfew stop --tag Team=payments --for 2h30m --dry-run",
            ),
        ],
    ),
    (
        "resume",
        &[
            ("Return an instance to its schedule", "curfew resume web-1"),
            (
                "Return all instances of a schedule",
                "curfew resume --schedule office --yes",
            ),
        ],
    ),
    (
        "apply",
        &[
            ("Show the plan, ask, and carry it out", "curfew apply"),
            ("Run a pass from a script", "curfew apply --yes -o json"),
        ],
    ),
    (
        "deploy",
        &[
            (
                "Show what a deployment would change",
                "curfew deploy --dry-run",
            ),
            (
                "Deploy to the account of a profile",
                "curfew deploy --profile dev --region eu-west-3",
            ),
        ],
    ),
    (
        "destroy",
        &[
            (
                "List what was deployed, ask, and remove it",
                "curfew destroy",
            ),
            (
                "Remove the stack, and keep the tags for another one",
                "curfew destroy --keep-tags --yes",
            ),
        ],
    ),
    (
        "run",
        &[
            (
                "Run the daemon in a terminal",
                "curfew run --config curfew.toml",
            ),
            (
                "Log JSON lines, including debug messages",
                "curfew run --config curfew.toml --log json -v",
            ),
        ],
    ),
    ("token", TOKEN_NEW),
    ("token new", TOKEN_NEW),
    ("notify", NOTIFY_TEST),
    ("notify test", NOTIFY_TEST),
    (
        "import",
        &[
            (
                "Convert the schedules of Instance Scheduler",
                "scheduler-cli describe-schedules | curfew import instance-scheduler -",
            ),
            (
                "Convert a tag of Cloud Custodian",
                "curfew import custodian 'off=(M-F,19);on=(M-F,7);tz=pt' > curfew.toml",
            ),
        ],
    ),
    (
        "import instance-scheduler",
        &[
            (
                "Convert what its command line prints",
                "curfew import instance-scheduler schedules.json > curfew.toml",
            ),
            (
                "Convert it from a pipe",
                "scheduler-cli describe-schedules | curfew import instance-scheduler -",
            ),
        ],
    ),
    (
        "import custodian",
        &[
            (
                "Convert a tag with stops and starts",
                "curfew import custodian 'off=(M-F,19);on=(M-F,7);tz=pt'",
            ),
            (
                "Convert a tag with stops only",
                "curfew import custodian 'off=[(M-F,21),(U,18)];tz=et' > curfew.toml",
            ),
        ],
    ),
    (
        "rules",
        &[
            ("List the trigger rules", "curfew rules"),
            (
                "Print them for another deployment tool",
                "curfew rules -o json > rules.json",
            ),
        ],
    ),
    (
        "template",
        &[
            (
                "Write the template to a file",
                "curfew template > curfew.yaml",
            ),
            ("Check it before a review", "curfew template | cfn-lint -"),
        ],
    ),
    (
        "document",
        &[
            (
                "Print the document that the Lambda reads",
                "curfew document",
            ),
            (
                "Print it as the SSM parameters that hold it",
                "curfew document -o json",
            ),
        ],
    ),
    (
        "member-role",
        &[
            (
                "Write the template to a file",
                "curfew member-role > curfew-member.yaml",
            ),
            (
                "Check it before a review",
                "curfew member-role | cfn-lint -",
            ),
        ],
    ),
    (
        "schema",
        &[
            (
                "Write the schema for an editor",
                "curfew schema > curfew.schema.json",
            ),
            (
                "List the tables of the configuration",
                "curfew schema | jq '.properties | keys'",
            ),
        ],
    ),
    (
        "completions",
        &[
            (
                "Complete commands and names in bash",
                "curfew completions bash > ~/.local/share/bash-completion/completions/curfew",
            ),
            (
                "Complete them in zsh, with a folder of the $fpath",
                "curfew completions zsh > ~/.zfunc/_curfew",
            ),
        ],
    ),
];

/// Returns the complete command: that of [`Cli`], with groups and examples.
pub(crate) fn command() -> Command {
    let mut command = with_examples(Cli::command(), "");
    command.build();
    let template = template(&command);
    let examples = examples(PROGRAM);
    let more = "Run `curfew COMMAND --help` for the options and examples of a command.";
    let text = format!("{examples}\n{more}\n\n{EXIT_CODES}");
    command.help_template(template).after_help(text)
}

/// Adds the examples of each command below `command`, whose words after the program are `path`.
fn with_examples(command: Command, path: &str) -> Command {
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name();
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path} {name}")
        };
        let mut text = COMMANDS
            .iter()
            .find(|(command, _)| *command == path)
            .map(|(_, of_command)| examples(of_command))
            .unwrap_or_default();
        let is_time = |arg: &Arg| {
            let names = arg.get_value_names().unwrap_or_default();
            names.iter().any(|name| name == "WHEN")
        };
        if subcommand.get_arguments().any(is_time) {
            let occurrence = match path.as_str() {
                "history" | "savings" => "last",
                _ => "next",
            };
            let _infallible = write!(text, "\n{}", times(occurrence));
        }
        let subcommand = with_examples(subcommand, &path).mut_args(with_names);
        if text.is_empty() {
            subcommand
        } else {
            subcommand.after_help(text)
        }
    })
}

/// Adds the completion of names to an argument that takes names.
fn with_names(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "schedule" => arg.add(ArgValueCompleter::new(complete::schedules)),
        "instance" | "instances" => arg.add(ArgValueCompleter::new(complete::instances)),
        _ => arg,
    }
}

fn examples(examples: &[Example]) -> String {
    let mut text = "Examples:\n".to_owned();
    for (sentence, command) in examples {
        let _infallible = write!(text, "  # {sentence}\n  {command}\n");
    }
    text
}

/// Explains the values `WHEN`; `occurrence` is that of a time without a date.
fn times(occurrence: &str) -> String {
    format!(
        "\
WHEN is one of:
  22:00, friday, 'friday 18:00'      the {occurrence} one
  tomorrow, 'tomorrow 08:00', today  the day begins at 00:00
  2026-11-27, '2026-11-27 18:00'     a date, or a date and a time
  2026-11-27T18:00:00Z               an instant in RFC 3339
  2h30m, 90m, 1d                     a length of time

A time without an offset is in the time zone of the schedule, otherwise in that
of this machine."
    )
}

/// The help of the program. clap has no groups of commands of its own.
fn template(command: &Command) -> String {
    let header = *command.get_styles().get_header();
    let literal = *command.get_styles().get_literal();
    let width = GROUPS
        .iter()
        .flat_map(|(_, names)| names.iter())
        .map(|name| name.len())
        .max()
        .unwrap_or_default();
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (group, names) in GROUPS {
        let _infallible = write!(text, "\n{header}{group}:{header:#}\n");
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            let _infallible = writeln!(text, "  {literal}{name:<width$}{literal:#}  {about}");
        }
    }
    let _infallible = write!(
        text,
        "\n{header}Global options:{header:#}\n{{options}}{{after-help}}"
    );
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All visible commands with their words, such as `token new`.
    fn visible(command: &Command, path: &str) -> Vec<(String, Command)> {
        let subcommands = command.get_subcommands();
        let shown = subcommands.filter(|one| !one.is_hide_set() && one.get_name() != "help");
        shown
            .flat_map(|one| {
                let path = format!("{path} {}", one.get_name()).trim().to_owned();
                let below = visible(one, &path);
                [(path, one.clone())].into_iter().chain(below)
            })
            .collect()
    }

    /// Splits a command line as a shell does, up to a pipe or a redirection.
    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() && !rest.starts_with(['|', '>', '&']) {
            let (word, after) = match rest.strip_prefix('\'') {
                Some(quoted) => quoted.split_once('\'').expect("a quote is closed"),
                None => rest.split_once(' ').unwrap_or((rest, "")),
            };
            words.push(word.to_owned());
            rest = after.trim_start();
        }
        words
    }

    #[test]
    fn every_command_is_in_one_group() {
        let command = Cli::command();
        let shown = visible(&command, "").into_iter().map(|(path, _)| path);
        let shown: BTreeSet<String> = shown.filter(|path| !path.contains(' ')).collect();
        let grouped = GROUPS.iter().flat_map(|(_, names)| names.iter());
        let grouped: Vec<String> = grouped.map(|&name| name.to_owned()).collect();
        assert_eq!(grouped.len(), shown.len(), "none is in two groups");
        assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), shown);
    }

    #[test]
    fn every_command_has_two_examples_that_parse() {
        let command = command();
        for (path, _) in visible(&command, "") {
            let found = COMMANDS.iter().find(|(name, _)| *name == path);
            let (_, examples) = found.unwrap_or_else(|| panic!("`{path}` has no examples"));
            assert!(examples.len() >= 2, "{path}");
        }
        let all = COMMANDS.iter().copied();
        for (path, examples) in all.chain([("", PROGRAM)]) {
            for (_, example) in examples {
                let start = example.find("curfew ").expect("an example runs curfew");
                for part in example[start..].split("&& ") {
                    let words = words(part);
                    assert!(words.join(" ").starts_with("curfew "), "{example}");
                    let matches = command.clone().try_get_matches_from(&words);
                    let matches = matches.unwrap_or_else(|error| panic!("{example}: {error}"));
                    let parsed = <Cli as clap::FromArgMatches>::from_arg_matches(&matches);
                    assert!(parsed.is_ok(), "{example}");
                    if !path.is_empty() {
                        let shown = words.iter().any(|word| path.starts_with(word.as_str()));
                        assert!(shown, "`{example}` is an example of `{path}`");
                    }
                }
            }
        }
    }

    #[test]
    fn help_fits_80_columns() {
        let command = command().term_width(80);
        let mut all = visible(&command, "");
        all.push((String::new(), command.clone()));
        for (path, mut command) in all {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 80, "curfew {path}: {line}");
                }
            }
        }
    }

    #[test]
    fn help_of_the_program_groups_the_commands() {
        let help = command().term_width(80).render_help().to_string();
        insta::assert_snapshot!(help, @r#"
        Starts and stops EC2 instances on a schedule

        Usage: curfew [OPTIONS] <COMMAND>

        Try (no AWS account needed):
          up           Run an emulator, a demo fleet, the stack and the daemon here
          init         Write a commented configuration file
          check        Validate a configuration file
          simulate     Show the running hours of schedules and what they save
          next         List the next edges of schedules

        Look:
          status       Show the instances with their state, schedule and next edge
          plan         Show what Curfew would start or stop now, and what it skips
          explain      Explain the desired state of a schedule or an instance
          history      Show the state transitions in the journal
          savings      Report stopped hours and savings from the journal
          doctor       Diagnose problems without changing anything
          outputs      Print the URL, the IDs and the rules of the stack

        Act:
          start        Start instances now
          stop         Stop instances now
          resume       End overrides and return instances to their schedule
          apply        Start and stop what is due now: run one pass

        Deploy:
          deploy       Create or update the stack and its trigger rules
          destroy      Remove everything that deploy created
          run          Run the daemon in the foreground
          token        Create tokens for the HTTP API
          notify       Test the delivery of notifications

        Export (no credentials needed):
          import       Convert the schedules of another tool
          rules        Print the trigger rules for other deployment tools
          template     Print the CloudFormation template of the stack
          document     Print the configuration as the Lambda reads it from SSM
          member-role  Print the template of the role in member accounts
          schema       Print the JSON schema of the configuration file
          completions  Print a shell completion script

        Global options:
          -c, --config <FILE>       Configuration file [default: CURFEW_CONFIG, else
                                    ./curfew.toml if only you can write it (not for
                                    run), else /etc/curfew/curfew.toml]
              --endpoint-url <URL>  AWS endpoint, for example http://localhost:4566 for
                                    LocalStack [default: AWS_ENDPOINT_URL, otherwise
                                    AWS]
              --region <REGION>     AWS region [default: AWS_REGION, otherwise that of
                                    the profile]
              --profile <PROFILE>   Profile of the shared AWS configuration [default:
                                    AWS_PROFILE]
          -o, --output <FORMAT>     Output format; wide has more columns, jsonl and csv
                                    are for history and savings only [default: table]
          -v, --verbose...          Log more to standard error (-vv for everything)
          -h, --help                Print help (see more with '--help')
          -V, --version             Print version

        Examples:
          # Try Curfew without an AWS account
          curfew up
          # Write a configuration, see what it does, and deploy it
          curfew init && curfew simulate && curfew deploy

        Run `curfew COMMAND --help` for the options and examples of a command.

        Exit codes:
          0 success         1 error            2 invalid usage or configuration
          3 nothing matched 4 not authorised   5 endpoint unreachable
        "#);
    }

    #[test]
    fn help_of_a_command_has_examples_and_global_options() {
        let mut command = command().term_width(80);
        let stop = command.find_subcommand_mut("stop").unwrap();
        insta::assert_snapshot!(stop.render_help(), @r#"
        Stop instances now

        Usage: curfew stop [OPTIONS] [INSTANCE]...

        Arguments:
          [INSTANCE]...  IDs or names of the instances; a name that several have is
                         refused

        Options:
              --schedule <NAME>  Select the instances of this schedule (repeatable)
              --tag <KEY=VALUE>  Select the instances with this tag, such as Team=dev*;
                                 with * and ? as wildcards (repeatable; all must match)
              --all              Select all matching instances, however many
          -y, --yes              Skip the confirmation prompt; required if standard
                                 input is not a terminal
              --dry-run          Show what would change without changing it
              --by <ACTOR>       Name of the requester for the tag and the journal
                                 [default: the user and the host]
              --for <WHEN>       Keep the state for this long, such as 90m, 2h30m or 1d
                                 [default: until the next edge]
              --until <WHEN>     Keep the state until this time, such as 22:00, "friday
                                 18:00" or 2026-11-27
          -h, --help             Print help

        Global options:
          -c, --config <FILE>       Configuration file [default: CURFEW_CONFIG, else
                                    ./curfew.toml if only you can write it (not for
                                    run), else /etc/curfew/curfew.toml]
              --endpoint-url <URL>  AWS endpoint, for example http://localhost:4566 for
                                    LocalStack [default: AWS_ENDPOINT_URL, otherwise
                                    AWS]
              --region <REGION>     AWS region [default: AWS_REGION, otherwise that of
                                    the profile]
              --profile <PROFILE>   Profile of the shared AWS configuration [default:
                                    AWS_PROFILE]
          -o, --output <FORMAT>     Output format; wide has more columns, jsonl and csv
                                    are for history and savings only [default: table]
          -v, --verbose...          Log more to standard error (-vv for everything)

        Examples:
          # Stop an instance until its next edge
          curfew stop web-1
          # Show what would be stopped for two hours and a half
          curfew stop --tag Team=payments --for 2h30m --dry-run

        WHEN is one of:
          22:00, friday, 'friday 18:00'      the next one
          tomorrow, 'tomorrow 08:00', today  the day begins at 00:00
          2026-11-27, '2026-11-27 18:00'     a date, or a date and a time
          2026-11-27T18:00:00Z               an instant in RFC 3339
          2h30m, 90m, 1d                     a length of time

        A time without an offset is in the time zone of the schedule, otherwise in that
        of this machine.
        "#);
    }

    #[test]
    fn every_command_is_a_valid_definition() {
        command().debug_assert();
    }
}
