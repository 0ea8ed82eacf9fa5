//! Reading the layers, and saying where each problem is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};
use curfew_core::problem::Problem;
use curfew_files::read_text;

use super::{AwsConfiguration, Configuration, RawConfiguration, holidays, resolve};

/// Schedules for two thousand accounts take a tenth of it; the Lambda unpacks no more.
const LARGEST_FILE: u64 = 4 << 20;

const DEFAULTS: &str = include_str!("../default.toml");

/// What flags say, over everything else.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The file that counts.
    pub file: Option<PathBuf>,
    /// Configuration text that stands in for a file, with the name it goes by: the demo's.
    pub fallback: Option<(&'static str, &'static str)>,
    /// `--endpoint-url`, `--region`, `--profile`.
    pub aws: AwsConfiguration,
    /// The environment: every variable that begins with `CURFEW__` counts.
    pub environment: HashMap<String, String>,
}

/// Configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// No configuration file was found.
    #[error(
        "there is no configuration file: none is named (--config, CURFEW_CONFIG), and `{}` is not there",
        super::DEFAULT_FILE
    )]
    NoFile {
        /// One that is there and was not looked for.
        ignored: Option<PathBuf>,
    },
    /// The folder's file may be another user's doing.
    #[error("`{}` is not taken without being named: {reason}", path.display())]
    NotTrusted {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// There is nothing in the file.
    #[error("the configuration file `{}` is empty: it has no key at all", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is not there, or can't be read.
    #[error("the configuration file `{}` can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("`{origin}` is not TOML: {message}")]
    NotToml {
        /// The file.
        origin: String,
        /// The parser's explanation, with line and column.
        message: String,
    },
    /// Keys or values that are not allowed: all of them.
    #[error("{}", list(problems))]
    Problems {
        /// Each with the layer that it was found in.
        problems: Vec<(String, Problem)>,
    },
}

impl ConfigurationError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoFile { ignored: Some(path) } => {
                format!("`{}` is there: name it with --config", path.display())
            }
            Self::NoFile { ignored: None } => {
                "write `curfew.toml` (docs/configuration.md and config/examples show how), or name another file with --config".to_owned()
            }
            Self::NotTrusted { path, .. } => {
                format!("read it, and name it if it is meant: --config {}", path.display())
            }
            Self::Empty { .. } => {
                "if the defaults are meant, and tags alone say when instances run, write `[managing]`".to_owned()
            }
            Self::Unreadable { .. } | Self::NotToml { .. } | Self::Problems { .. } => {
                "`curfew check FILE` checks a file; docs/configuration.md lists every key".to_owned()
            }
        }
    }
}

fn list(problems: &[(String, Problem)]) -> String {
    let mut text = match problems.len() {
        1 => "1 problem in the configuration:".to_owned(),
        several => format!("{several} problems in the configuration:"),
    };
    for (origin, problem) in problems {
        let _ = write!(text, "\n  {origin}: {problem}");
    }
    text
}

/// Reads all layers and checks them.
pub fn load(overrides: &LoadOptions) -> Result<Configuration, ConfigurationError> {
    let (file, layer) = file_layer(overrides)?;
    let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some((origin, text)) = &layer {
        // Parsed by itself first, so that an error in its syntax names it.
        let not_toml = |error: toml::de::Error| ConfigurationError::NotToml {
            origin: origin.clone(),
            message: error.to_string(),
        };
        let table = text.parse::<toml::Table>().map_err(not_toml)?;
        // An empty file, as a full disk leaves it. To use the defaults, write a table's header.
        if let Some(path) = file.as_ref().filter(|_| table.is_empty()) {
            let path = path.clone();
            return Err(ConfigurationError::Empty { path });
        }
        builder = builder.add_source(File::from_str(text, FileFormat::Toml));
    }
    let environment = Environment::with_prefix("CURFEW")
        .prefix_separator("__")
        .separator("__");
    builder = builder.add_source(environment.source(Some(overrides.environment.clone())));
    let flags = &overrides.aws;
    for (key, value) in [
        ("endpoint", &flags.endpoint),
        ("region", &flags.region),
        ("profile", &flags.profile),
    ] {
        builder = builder
            .set_override_option(format!("aws.{key}"), value.clone())
            .expect("a constant key is well-formed");
    }
    let merged = builder
        .build()
        .map_err(|error| ConfigurationError::NotToml {
            origin: "the configuration".to_owned(),
            message: error.to_string(),
        })?;
    let origin = Origin {
        file: layer.as_ref().map(|(origin, text)| (origin.as_str(), text)),
        overrides,
    };
    let locate = |problems: Vec<Problem>| ConfigurationError::Problems {
        problems: problems
            .into_iter()
            .map(|problem| (origin.of(&problem.key), problem))
            .collect(),
    };
    let (raw, mut problems) = read(merged.cache, &defaults());
    let configuration = match raw {
        Some(mut raw) => {
            let directory = file.as_deref().and_then(Path::parent);
            let directory = directory.unwrap_or(Path::new(".")).to_owned();
            let mut holidays = holidays::read_in(&mut raw, &directory);
            problems.append(&mut holidays.problems);
            let publisher = publisher(file.as_deref(), overrides);
            resolve(raw, file, &directory, publisher, holidays)
                .map_err(|found| problems.extend(found))
                .ok()
        }
        None => None,
    };
    // The layers are hash maps: by key, the same file gives the same list.
    problems.sort_by(|a, b| a.key.cmp(&b.key));
    match configuration {
        Some(configuration) if problems.is_empty() => Ok(configuration),
        _ => Err(locate(problems)),
    }
}

/// The compiled-in defaults alone.
pub(super) fn built_in() -> Configuration {
    let nothing = LoadOptions {
        fallback: Some(("nothing", "")),
        ..LoadOptions::default()
    };
    load(&nothing).expect("the compiled-in configuration is good: a test reads them")
}

type Layer = Option<(String, String)>;

fn file_layer(overrides: &LoadOptions) -> Result<(Option<PathBuf>, Layer), ConfigurationError> {
    if let Some(path) = &overrides.file {
        let text =
            read_text(path, LARGEST_FILE).map_err(|source| ConfigurationError::Unreadable {
                path: path.clone(),
                source,
            })?;
        Ok((Some(path.clone()), Some((path.display().to_string(), text))))
    } else if let Some((name, text)) = overrides.fallback {
        Ok((None, Some((name.to_owned(), text.to_owned()))))
    } else {
        Err(ConfigurationError::NoFile { ignored: None })
    }
}

/// The file that configuration come from, with the machine that it is on: what is published carries it. The path is as it is named,
/// symbolic links and all: what is behind those changes with each release where configuration is deployed that way.
fn publisher(file: Option<&Path>, overrides: &LoadOptions) -> String {
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    match (file, overrides.fallback) {
        (Some(path), _) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            format!("{machine}:{}", path.display())
        }
        (None, Some((name, _))) => format!("{machine}: {name}"),
        (None, None) => machine.into_owned(),
    }
}

/// The compiled-in layer by itself.
fn defaults() -> Value {
    let defaults = Config::builder()
        .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
        .build();
    defaults
        .expect("the compiled-in configuration is TOML: a test reads them")
        .cache
}

/// Deserializes; a value that does not fit is noted and taken back, until what is left fits.
fn read(mut root: Value, defaults: &Value) -> (Option<RawConfiguration>, Vec<Problem>) {
    let mut problems = Vec::new();
    loop {
        match serde_path_to_error::deserialize::<_, RawConfiguration>(root.clone()) {
            Ok(raw) => return (Some(raw), problems),
            Err(error) => {
                let mut keys: Vec<String> = error.path().iter().map(ToString::to_string).collect();
                let message = match explain(error.inner()) {
                    Complaint::Unknown { key, allowed } => {
                        if keys.last() != Some(&key) {
                            keys.push(key.clone());
                        }
                        unknown(&key, &allowed)
                    }
                    Complaint::Other(message) => message,
                };
                // A member of a list is `account[0]`, as in the problems found later.
                let key = keys.join(".").replace(".[", "[");
                problems.push(Problem::new(key, message));
                if !take_back(&mut root, Some(defaults), &keys) {
                    return (None, problems);
                }
            }
        }
    }
}

enum Complaint {
    Unknown { key: String, allowed: Vec<String> },
    Other(String),
}

fn explain(error: &ConfigError) -> Complaint {
    match error {
        ConfigError::At { error, .. } => explain(error),
        ConfigError::Type {
            unexpected,
            expected,
            ..
        } => Complaint::Other(format!("found {unexpected}; allowed is {expected}")),
        // The path is known already, and written better.
        ConfigError::NotFound(path) => {
            let key = path.rsplit(['.', ']']).next().unwrap_or(path);
            Complaint::Other(format!("`{key}` is missing"))
        }
        other => {
            // serde's wording: ``unknown field `x`, expected one of `a`, `b` ``.
            let message = other.to_string();
            let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
            match quoted.next() {
                Some(key) if message.starts_with("unknown field") => Complaint::Unknown {
                    key,
                    allowed: quoted.collect(),
                },
                _ => Complaint::Other(message),
            }
        }
    }
}

fn unknown(key: &str, allowed: &[String]) -> String {
    let closeness = |name: &&String| strsim::damerau_levenshtein(name, key);
    let meant = allowed
        .iter()
        .min_by_key(closeness)
        .filter(|name| closeness(name) <= 2);
    let hint = meant
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default();
    let allowed: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "`{key}` is not a key here{hint} (allowed: {})",
        allowed.join(", ")
    )
}

/// Puts the default back at `keys`, or nothing where there is none. A member of a list goes with its whole list.
fn take_back(root: &mut Value, defaults: Option<&Value>, keys: &[String]) -> bool {
    let [first, rest @ ..] = keys else {
        return false;
    };
    let ValueKind::Table(table) = &mut root.kind else {
        return false;
    };
    let default = match defaults.map(|value| &value.kind) {
        Some(ValueKind::Table(defaults)) => defaults.get(first),
        _ => None,
    };
    let below = match table.get_mut(first) {
        None => return false,
        Some(child) => !rest.is_empty() && take_back(child, default, rest),
    };
    if !below {
        match default {
            Some(value) => table.insert(first.clone(), value.clone()),
            None => table.remove(first),
        };
    }
    true
}

/// Which layer a key's value came from.
struct Origin<'a> {
    file: Option<(&'a str, &'a String)>,
    overrides: &'a LoadOptions,
}

impl Origin<'_> {
    fn of(&self, key: &str) -> String {
        let variable = format!("CURFEW__{}", key.replace('.', "__")).to_uppercase();
        if let Some(found) = self
            .overrides
            .environment
            .keys()
            .find(|name| name.eq_ignore_ascii_case(&variable))
        {
            return found.clone();
        }
        match self.file {
            Some((name, _)) => name.to_owned(),
            None => "the built-in defaults".to_owned(),
        }
    }
}
