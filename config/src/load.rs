//! Loading the layers of the configuration. Each problem is reported with the layer in which it was found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Value};
use curfew_core::configuration::RawScheduleSet;
use curfew_core::problem::Problem;
use curfew_files::read_text;
use jiff::Timestamp;

use super::diagnostic::{self, Diagnostic, Place, Position};
use super::read::{PlacedProblem, read};
use super::source::{EntryPart, SourceFile};
use super::{AwsConfiguration, Configuration, holidays, resolve};

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
    /// The file is not TOML, or keys or values are not allowed.
    #[error("{}", diagnostic::list(errors))]
    Invalid {
        /// All errors, in the order of the file.
        errors: Vec<Diagnostic>,
    },
}

impl ConfigurationError {
    /// Returns the message for a person: that of `Display`, with the line of the file for each error and carets under the part that
    /// it is about.
    pub fn report(&self) -> String {
        match self {
            Self::Invalid { errors } => {
                let count = diagnostic::errors(errors.len());
                let reports = errors
                    .iter()
                    .map(|error| format!("\n\n{}", error.report("error").trim_end()));
                format!(
                    "{count} in the configuration{}",
                    reports.collect::<String>()
                )
            }
            other => other.to_string(),
        }
    }

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
            Self::Unreadable { .. } => {
                "`curfew check FILE` checks a file; docs/reference/configuration.md lists every key".to_owned()
            }
            Self::Invalid { .. } => "docs/reference/configuration.md lists every key".to_owned(),
        }
    }
}

/// The result of reading all layers, valid or not.
struct Evaluated {
    layers: Layers,
    problems: Vec<PlacedProblem>,
    warnings: Vec<Problem>,
    /// The schedules as written, as far as they can be read.
    document: RawScheduleSet,
    configuration: Option<Configuration>,
}

/// Reads all layers and checks the result. Fails with all errors of keys and values, not only the first.
pub fn load(options: &LoadOptions) -> Result<Configuration, ConfigurationError> {
    let read = evaluate(options)?;
    match read.configuration {
        Some(configuration) if read.problems.is_empty() => Ok(configuration),
        _ => Err(ConfigurationError::Invalid {
            errors: read.layers.locate(read.problems),
        }),
    }
}

/// The result of [`check`]: the errors and warnings about a configuration, by their places.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// All errors. If there is one, no command accepts the configuration.
    pub errors: Vec<Diagnostic>,
    /// What is valid and probably a mistake.
    pub warnings: Vec<Diagnostic>,
    /// The configuration, if there are no errors.
    pub configuration: Option<Configuration>,
    layers: Layers,
}

impl CheckReport {
    /// Adds a warning that is found elsewhere.
    pub fn warn(&mut self, warning: Problem) {
        self.warnings
            .extend(self.layers.locate(vec![(warning, EntryPart::Value)]));
    }

    /// Returns the errors, if there are any.
    pub fn error(&self) -> Option<ConfigurationError> {
        let errors = self.errors.clone();
        (!errors.is_empty()).then_some(ConfigurationError::Invalid { errors })
    }
}

/// Reads all layers like [`load`], and returns the errors together with warnings about what is valid and probably a mistake after
/// `now`. Fails if there is no file, or if it can't be read or is empty.
pub fn check(options: &LoadOptions, now: Timestamp) -> Result<CheckReport, ConfigurationError> {
    let read = match evaluate(options) {
        Ok(read) => read,
        Err(ConfigurationError::Invalid { errors }) => {
            return Ok(CheckReport {
                errors,
                warnings: Vec::new(),
                configuration: None,
                layers: Layers::default(),
            });
        }
        Err(error) => return Err(error),
    };
    let mut warnings = read.warnings;
    warnings.extend(read.document.warnings(now));
    let warnings = warnings.into_iter();
    let warnings = warnings.map(|warning| (warning, EntryPart::Value));
    let warnings = read.layers.locate(warnings.collect());
    let errors = read.layers.locate(read.problems);
    Ok(CheckReport {
        configuration: read.configuration.filter(|_| errors.is_empty()),
        errors,
        warnings,
        layers: read.layers,
    })
}

fn evaluate(options: &LoadOptions) -> Result<Evaluated, ConfigurationError> {
    let (file, source) = file_layer(options)?;
    let layers = Layers {
        source,
        environment: options.environment.clone(),
    };
    // Parse the file alone first, so that a syntax error has its place in it. A full disk leaves an empty file, which is refused.
    // To use the defaults, write a table's header.
    if let Some(source) = &layers.source
        && layers.is_empty(source)?
        && let Some(path) = &file
    {
        let path = path.clone();
        return Err(ConfigurationError::Empty { path });
    }
    let mut root = merge(&layers, options)?;
    let (raw, mut problems, replaced) = read(&mut root, defaults);
    let mut found = Vec::new();
    let mut document = RawScheduleSet::default();
    let mut warnings = Vec::new();
    let mut configuration = None;
    if let Some(mut raw) = raw {
        let directory = file.as_deref().and_then(Path::parent);
        let directory = directory.unwrap_or(Path::new(".")).to_owned();
        let mut holidays = holidays::read_in(&mut raw, &directory);
        found.append(&mut holidays.problems);
        warnings.clone_from(&holidays.warnings);
        document = RawScheduleSet {
            origin: None,
            managing: raw.managing.clone(),
            schedules: raw.schedules.clone(),
            account: Vec::new(),
        };
        let publisher = publisher(file.as_deref(), options);
        configuration = resolve(raw, file, &directory, publisher, holidays)
            .map_err(|problems| found.extend(problems))
            .ok();
    }
    let found = found.into_iter();
    let found = found.filter(|problem| !replaced.explains(problem, &root));
    problems.extend(found.map(|problem| (problem, EntryPart::Value)));
    Ok(Evaluated {
        layers,
        problems,
        warnings,
        document,
        configuration,
    })
}

/// Merges the layers, of which later ones take precedence.
fn merge(layers: &Layers, options: &LoadOptions) -> Result<Value, ConfigurationError> {
    let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(source) = &layers.source {
        builder = builder.add_source(File::from_str(&source.text, FileFormat::Toml));
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
    let merged = builder.build().map_err(|error| {
        let place = layers.place_of_file(None);
        let message = error.to_string();
        ConfigurationError::Invalid {
            errors: vec![Diagnostic {
                place,
                key: None,
                message,
            }],
        }
    })?;
    Ok(merged.cache)
}

/// Returns the configuration of the compiled-in defaults alone.
pub(super) fn built_in() -> Configuration {
    let nothing = LoadOptions {
        fallback: Some(("nothing", "")),
        ..LoadOptions::default()
    };
    load(&nothing).expect("the compiled-in configuration is good: a test reads them")
}

type FileLayer = (Option<PathBuf>, Option<SourceFile>);

fn file_layer(options: &LoadOptions) -> Result<FileLayer, ConfigurationError> {
    if let Some(path) = &options.file {
        let text =
            read_text(path, LARGEST_FILE).map_err(|source| ConfigurationError::Unreadable {
                path: path.clone(),
                source,
            })?;
        let name = path.clone();
        Ok((Some(path.clone()), Some(SourceFile { name, text })))
    } else if let Some((name, text)) = options.fallback {
        let (name, text) = (PathBuf::from(name), text.to_owned());
        Ok((None, Some(SourceFile { name, text })))
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

/// The layers that a user writes, for the places of errors.
#[derive(Clone, Debug, Default)]
struct Layers {
    source: Option<SourceFile>,
    environment: HashMap<String, String>,
}

impl Layers {
    /// Returns whether the file has no key. Fails if it is not TOML.
    fn is_empty(&self, source: &SourceFile) -> Result<bool, ConfigurationError> {
        source.is_empty().map_err(|errors| {
            let errors = errors.into_iter().map(|error| Diagnostic {
                place: self.place_of_file(Some(error.position)),
                key: None,
                message: error.message,
            });
            ConfigurationError::Invalid {
                errors: errors.collect(),
            }
        })
    }

    fn place_of_file(&self, position: Option<Position>) -> Place {
        match &self.source {
            Some(source) => Place::File {
                name: source.name.clone(),
                position,
            },
            None => Place::Defaults,
        }
    }

    /// Returns the problems with their places, in the order of the file.
    fn locate(&self, problems: Vec<PlacedProblem>) -> Vec<Diagnostic> {
        if problems.is_empty() {
            return Vec::new();
        }
        let positions = self.source.as_ref().map(SourceFile::positions);
        let mut found: Vec<Diagnostic> = problems
            .into_iter()
            .map(|(Problem { key, message }, part)| {
                let place = match self.variable(&key) {
                    Some(name) => Place::Variable { name },
                    None => {
                        let positions = positions.as_ref();
                        self.place_of_file(
                            positions.and_then(|positions| positions.find(&key, part, &message)),
                        )
                    }
                };
                Diagnostic {
                    place,
                    key: Some(key),
                    message,
                }
            })
            .collect();
        found.sort_by(|one, other| one.order().cmp(&other.order()));
        found
    }

    /// Returns the environment variable that sets the value at `key`.
    fn variable(&self, key: &str) -> Option<String> {
        let variable = format!("CURFEW__{}", key.replace('.', "__"));
        let mut names = self.environment.keys();
        names
            .find(|name| name.eq_ignore_ascii_case(&variable))
            .cloned()
    }
}
