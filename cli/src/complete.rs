//! Completion of names in a shell: schedules from the configuration, and instances from the journal of this machine. Completion makes no
//! AWS call, and has no candidates if a file is missing or invalid.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::engine::CompletionCandidate;
use curfew_config::{Configuration, LoadOptions, Lookup};
use curfew_journal::Journal;

use crate::environment;

/// The schedules of the configuration that begin with `current`.
pub(crate) fn schedules(current: &OsStr) -> Vec<CompletionCandidate> {
    let configuration = configuration();
    let names = configuration.iter().flat_map(|configuration| {
        let schedules = configuration.schedule_set.schedules.keys();
        schedules.map(ToString::to_string)
    });
    candidates(names.collect(), current)
}

/// The instances in the journal that begin with `current`.
pub(crate) fn instances(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(recorded().unwrap_or_default(), current)
}

fn candidates(names: BTreeSet<String>, current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else {
        return Vec::new();
    };
    let fitting = names.into_iter().filter(|name| name.starts_with(current));
    fitting.map(CompletionCandidate::new).collect()
}

/// The names of the instances that the daemon has observed, and the ids of those without a name.
fn recorded() -> Option<BTreeSet<String>> {
    let journal = Journal::read(&configuration()?.state_dir()).ok()?;
    let known = journal.known_states().ok()?.into_iter();
    let labels = known.map(|(id, state)| state.name.unwrap_or_else(|| id.to_string()));
    Some(labels.collect())
}

/// The configuration that the completed command line would use.
fn configuration() -> Option<Configuration> {
    let named = named(std::env::args_os()).or_else(|| std::env::var_os("CURFEW_CONFIG"));
    let named = named.map(PathBuf::from);
    let found = curfew_config::find(named.as_deref(), Lookup::Folder).ok()?;
    curfew_config::load(&LoadOptions {
        file: Some(found.path),
        environment: environment(),
        ..LoadOptions::default()
    })
    .ok()
}

/// The value of `--config` in the completed command line.
fn named(arguments: impl Iterator<Item = OsString>) -> Option<OsString> {
    let mut arguments = arguments.skip_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" || argument == "-c" {
            return arguments.next();
        }
        let text = argument.to_str().unwrap_or_default();
        if let Some(file) = text.strip_prefix("--config=") {
            return Some(file.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_configuration_is_that_of_the_completed_line() {
        let named = |line: &str| named(line.split(' ').map(OsString::from));
        assert_eq!(named("curfew --config a.toml"), None);
        let a = Some("a.toml".into());
        assert_eq!(named("curfew -- curfew --config a.toml next"), a);
        assert_eq!(named("curfew -- curfew next -c a.toml"), a);
        assert_eq!(named("curfew -- curfew next --config=a.toml --"), a);
        assert_eq!(named("curfew -- curfew next --config"), None);
    }

    #[test]
    fn candidates_begin_with_the_current_word() {
        let names = || ["office", "office-us", "lab"].map(str::to_owned).into();
        let values = |current: &str| -> Vec<OsString> {
            let found = candidates(names(), OsStr::new(current));
            found.iter().map(|one| one.get_value().to_owned()).collect()
        };
        assert_eq!(values("off"), ["office", "office-us"]);
        assert_eq!(values("x"), [""; 0]);
        assert_eq!(values("").len(), 3);
    }
}
