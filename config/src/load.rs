//! Loading the layers of the configuration. Each problem is reported with the layer in which it was found.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Environment, File, FileFormat, Value, ValueKind};
use curfew_core::problem::Problem;
use curfew_files::read_text;

use super::{AwsConfiguration, Configuration, RawConfiguration, holidays, resolve};

/// The maximum size of a file in bytes, which is also the limit of the Lambda. Schedules for two thousand accounts take a tenth of it.
const LARGEST_FILE: u64 = 4 << 20;

const DEFAULTS: &str = include_str!("../default.toml");

/// The inputs of [`load`]: the file, flags and environment variables.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The configuration file to read.
    pub file: Option<PathBuf>,
    /// The name and text of a configuration that is used without a file, such as the demo's.
    pub fallback: Option<(&'static str, &'static str)>,
    /// The values of `--endpoint-url`, `--region` and `--profile`.
    pub aws: AwsConfiguration,
    /// The environment. Variables that begin with `CURFEW__` are used.
    pub environment: HashMap<String, String>,
}

/// The reason why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// No configuration file was found.
    #[error(
        "there is no configuration file: none is named (--config, CURFEW_CONFIG), and `{}` is not there",
        super::DEFAULT_FILE
    )]
    NoFile {
        /// A file in the current folder, which was not searched.
        ignored: Option<PathBuf>,
    },
    /// Another user could have written the file in the current folder.
    #[error("`{}` is not taken without being named: {reason}", path.display())]
    NotTrusted {
        /// The path of the file.
        path: PathBuf,
        /// The reason why it is not trusted.
        reason: &'static str,
    },
    /// The file has no keys.
    #[error("the configuration file `{}` is empty: it has no key at all", path.display())]
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file does not exist, or can't be read.
    #[error("the configuration file `{}` can't be read", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("`{origin}` is not TOML: {message}")]
    NotToml {
        /// The layer that was parsed.
        origin: String,
        /// The parser's explanation, with line and column.
        message: String,
    },
    /// Keys or values are not allowed.
    #[error("{}", list(problems))]
    Problems {
        /// All problems, each with the layer in which it was found.
        problems: Vec<(String, Problem)>,
    },
}

impl ConfigurationError {
    /// Returns a hint on how to correct the error.
    pub fn hint(&self) -> String {
        match self {
            Self::NoFile { ignored: Some(path) } => {
                format!("`{}` is there: name it with --config", path.display())
            }
            Self::NoFile { ignored: None } => {
                "`curfew init` writes one; name another file with --config".to_owned()
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

/// Reads all layers and checks the result. Fails with all problems of keys and values, not only the first.
pub fn load(options: &LoadOptions) -> Result<Configuration, ConfigurationError> {
    let (file, layer) = file_layer(options)?;
    let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some((origin, text)) = &layer {
        // Parse the file alone first, so that a syntax error names it.
        let not_toml = |error: toml::de::Error| ConfigurationError::NotToml {
            origin: origin.clone(),
            message: error.to_string(),
        };
        let table = text.parse::<toml::Table>().map_err(not_toml)?;
        // A full disk leaves an empty file, which is refused. To use the defaults, write a table's header.
        if let Some(path) = file.as_ref().filter(|_| table.is_empty()) {
            let path = path.clone();
            return Err(ConfigurationError::Empty { path });
        }
        builder = builder.add_source(File::from_str(text, FileFormat::Toml));
    }
    let environment = Environment::with_prefix("CURFEW")
        .prefix_separator("__")
        .separator("__");
    builder = builder.add_source(environment.source(Some(options.environment.clone())));
    let flags = &options.aws;
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
        options,
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
            let publisher = publisher(file.as_deref(), options);
            resolve(raw, file, &directory, publisher, holidays)
                .map_err(|found| problems.extend(found))
                .ok()
        }
        None => None,
    };
    // The layers are hash maps; sorted by key, the same file gives the same list.
    problems.sort_by(|a, b| a.key.cmp(&b.key));
    match configuration {
        Some(configuration) if problems.is_empty() => Ok(configuration),
        _ => Err(locate(problems)),
    }
}

/// Returns the configuration of the compiled-in defaults alone.
pub(super) fn built_in() -> Configuration {
    let nothing = LoadOptions {
        fallback: Some(("nothing", "")),
        ..LoadOptions::default()
    };
    load(&nothing).expect("the compiled-in configuration is good: a test reads them")
}

type Layer = Option<(String, String)>;

fn file_layer(options: &LoadOptions) -> Result<(Option<PathBuf>, Layer), ConfigurationError> {
    if let Some(path) = &options.file {
        let text =
            read_text(path, LARGEST_FILE).map_err(|source| ConfigurationError::Unreadable {
                path: path.clone(),
                source,
            })?;
        Ok((Some(path.clone()), Some((path.display().to_string(), text))))
    } else if let Some((name, text)) = options.fallback {
        Ok((None, Some((name.to_owned(), text.to_owned()))))
    } else {
        Err(ConfigurationError::NoFile { ignored: None })
    }
}

/// Returns the machine and the configuration file as the origin of a published document. Symbolic links in the path are not
/// resolved, because their targets change with each release where configuration is deployed through links.
fn publisher(file: Option<&Path>, options: &LoadOptions) -> String {
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    match (file, options.fallback) {
        (Some(path), _) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            format!("{machine}:{}", path.display())
        }
        (None, Some((name, _))) => format!("{machine}: {name}"),
        (None, None) => machine.into_owned(),
    }
}

/// Returns the values of the compiled-in layer alone.
fn defaults() -> Value {
    let defaults = Config::builder()
        .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
        .build();
    defaults
        .expect("the compiled-in configuration is TOML: a test reads them")
        .cache
}

/// Deserializes the layers. A value that is not allowed is recorded as a problem and replaced by its default, until the rest can be
/// deserialized.
fn read(mut root: Value, defaults: &Value) -> (Option<RawConfiguration>, Vec<Problem>) {
    let mut problems = Vec::new();
    loop {
        match serde_path_to_error::deserialize::<_, RawConfiguration>(root.clone()) {
            Ok(raw) => return (Some(raw), problems),
            Err(error) => {
                let mut keys: Vec<String> = error.path().iter().map(ToString::to_string).collect();
                let message = match explain(error.inner()) {
                    ReadProblem::Unknown { key, allowed } => {
                        if keys.last() != Some(&key) {
                            keys.push(key.clone());
                        }
                        unknown(&key, &allowed)
                    }
                    ReadProblem::Other(message) => message,
                };
                // An item of a list is written `account[0]`, as in the problems found later.
                let key = keys.join(".").replace(".[", "[");
                problems.push(Problem::new(key, message));
                if !reset_to_default(&mut root, Some(defaults), &keys) {
                    return (None, problems);
                }
            }
        }
    }
}

enum ReadProblem {
    Unknown { key: String, allowed: Vec<String> },
    Other(String),
}

fn explain(error: &ConfigError) -> ReadProblem {
    match error {
        ConfigError::At { error, .. } => explain(error),
        ConfigError::Type {
            unexpected,
            expected,
            ..
        } => ReadProblem::Other(format!("found {unexpected}; allowed is {expected}")),
        // The caller knows the path in a better form.
        ConfigError::NotFound(path) => {
            let key = path.rsplit(['.', ']']).next().unwrap_or(path);
            ReadProblem::Other(format!("`{key}` is missing"))
        }
        other => {
            // serde's wording: ``unknown field `x`, expected one of `a`, `b` ``.
            let message = other.to_string();
            let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_owned);
            match quoted.next() {
                Some(key) if message.starts_with("unknown field") => ReadProblem::Unknown {
                    key,
                    allowed: quoted.collect(),
                },
                _ => ReadProblem::Other(message),
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

/// Sets the value at `keys` to its default, or removes it if there is none. For an item of a list, the whole list is set. Returns
/// whether anything was changed.
fn reset_to_default(root: &mut Value, defaults: Option<&Value>, keys: &[String]) -> bool {
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
        Some(child) => !rest.is_empty() && reset_to_default(child, default, rest),
    };
    if !below {
        match default {
            Some(value) => table.insert(first.clone(), value.clone()),
            None => table.remove(first),
        };
    }
    true
}

/// Finds the layer that a key's value comes from.
struct Origin<'a> {
    file: Option<(&'a str, &'a String)>,
    options: &'a LoadOptions,
}

impl Origin<'_> {
    fn of(&self, key: &str) -> String {
        let variable = format!("CURFEW__{}", key.replace('.', "__")).to_uppercase();
        if let Some(found) = self
            .options
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
