//! `docs/reference/command-line.md` is generated from the help of the commands.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::REPOSITORY;

const PAGE: &str = "docs/reference/command-line.md";

const HEAD: &str = "\
# Every option

<!-- Generated from the help: `UPDATE_SCHEMA=1 cargo nextest run --workspace -E 'test(in_the_repository)'` -->

The help of every command, as `curfew help COMMAND` prints it. The options of the first section are options of every
command, and are not repeated. [Commands](commands.md) explains what they have in common. `man curfew-COMMAND` shows the
same where the Debian package is installed.
";

#[test]
fn the_command_line_in_the_repository_is_up_to_date() {
    let mut program = curfew::Cli::command().term_width(80);
    program.build();
    let mut page = HEAD.to_owned();
    write!(page, "\n## curfew\n\n{}", help(program.clone())).unwrap();
    describe(&program, &mut page);
    let file = Path::new(REPOSITORY).join(PAGE);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == page,
        "{PAGE} is out of date: run this test with UPDATE_SCHEMA=1"
    );
}

/// Adds the commands below a command, those below them included.
fn describe(command: &Command, page: &mut String) {
    for below in command.get_subcommands() {
        if below.is_hide_set() || below.get_name() == "help" {
            continue;
        }
        let name = below.get_bin_name().unwrap();
        let own = below.clone().term_width(80).mut_args(|argument| {
            let hide = argument.is_global_set() || argument.is_hide_set();
            argument.hide(hide)
        });
        write!(page, "\n## {name}\n\n{}", help(own)).unwrap();
        describe(below, page);
    }
}

/// The long help as a block.
fn help(mut command: Command) -> String {
    let text = command.render_long_help().to_string();
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n"))
}
