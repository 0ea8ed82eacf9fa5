//! The Lambda's zip: where it is found, or made from the executable, and whether Lambda can run it. Uploading is
//! `bucket`'s.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The executable that Lambda's custom runtime starts.
const BOOTSTRAP: &str = "bootstrap";
const ZIP: &str = "curfew-lambda.zip";
/// Where the package puts it.
const INSTALLED: &str = "/usr/lib/curfew/curfew-lambda.zip";
/// Amazon Linux 2023's, which `provided.al2023` is.
const LAMBDA_GLIBC: Glibc = Glibc(2, 34);

/// Code that Lambda can run.
#[derive(Clone, PartialEq, Eq)]
pub struct Artifact {
    pub(super) zip: Vec<u8>,
    /// The hash of the content, in hexadecimal.
    pub sha256: String,
    /// What it is built for.
    pub architecture: Architecture,
    /// The newest glibc that it needs; none if it is static.
    pub glibc: Option<Glibc>,
    /// Where it was found.
    pub path: PathBuf,
}

/// What the function runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Intel and AMD.
    X86_64,
    /// Graviton.
    Arm64,
}

impl Architecture {
    /// As CloudFormation calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// This machine's, where it is one of the two.
    pub fn of_this_machine() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// A version of the GNU C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc(u16, u16);

impl Glibc {
    /// Whether Lambda's system has it.
    pub fn runs_on_lambda(self) -> bool {
        self <= LAMBDA_GLIBC
    }

    /// `GLIBC_2.34`, as a symbol's version.
    fn of_symbol_version(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("GLIBC_")?.split('.');
        Some(Self(
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    }
}

impl std::fmt::Display for Glibc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Code that can't be deployed.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Nothing anywhere.
    #[error("the Lambda's code was found neither beside `curfew` nor in `{INSTALLED}`")]
    NotFound,
    /// The file can't be read.
    #[error("`{}` can't be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("`{}` is not the Lambda's code: {what}", .path.display())]
    NotALambda {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Lambda's system is older than the one it was built for.
    #[error("`{}` needs glibc {needs}, and Lambda has {LAMBDA_GLIBC}", .path.display())]
    NewGlibc {
        /// The file.
        path: PathBuf,
        /// What it needs.
        needs: Glibc,
    },
    /// The emulator runs it on this machine, which is of another kind.
    #[error("`{}` is built for {}, and the emulator runs it on this {} machine", .path.display(), .built_for.as_str(), std::env::consts::ARCH)]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// What it was built for.
        built_for: Architecture,
    },
}

impl ArtifactError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound => "build it with `make dist`, or name it with --lambda-zip",
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::NotALambda { .. } => {
                "`make dist` makes the right one: a zip with the executable `bootstrap`"
            }
            Self::NewGlibc { .. } => "build it with `make dist`, which builds for Lambda's system",
            Self::OtherMachine { .. } => "build it on and for this machine with `cargo build`",
        }
    }
}

impl Artifact {
    /// Finds the Lambda's code: the zip or executable that `explicit` names; else the newest one built in the tree that this
    /// program was built in; else what the package installed.
    pub fn find(explicit: Option<&Path>, program: &Path) -> Result<Self, ArtifactError> {
        if let Some(path) = explicit {
            return Self::read(path);
        }
        let beside = program.parent().unwrap_or(Path::new("."));
        let built = [beside.join(BOOTSTRAP), beside.join("../lambda").join(ZIP)];
        let newest = built
            .into_iter()
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .max();
        match newest {
            Some((_, path)) => Self::read(&path),
            None if Path::new(INSTALLED).exists() => Self::read(Path::new(INSTALLED)),
            None => Err(ArtifactError::NotFound),
        }
    }

    /// A zip with the executable `bootstrap`, or that executable itself, which is then zipped.
    pub fn read(path: &Path) -> Result<Self, ArtifactError> {
        let unreadable = |source| ArtifactError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let not_ours = |what: String| ArtifactError::NotALambda {
            path: path.to_owned(),
            what,
        };
        let content = fs::read(path).map_err(unreadable)?;
        let (zip, executable) = if content.starts_with(&elf::ELFMAG) {
            (zipped(&content).map_err(unreadable)?, content)
        } else {
            let executable = unzipped(&content).map_err(not_ours)?;
            (content, executable)
        };
        let (architecture, glibc) = inspect(&executable).map_err(not_ours)?;
        Ok(Self {
            sha256: sha256_hex(&zip),
            zip,
            architecture,
            glibc,
            path: path.to_owned(),
        })
    }

    /// Refuses what AWS could not run.
    pub fn check_for_lambda(&self) -> Result<(), ArtifactError> {
        match self.glibc {
            Some(needs) if !needs.runs_on_lambda() => Err(ArtifactError::NewGlibc {
                path: self.path.clone(),
                needs,
            }),
            _ => Ok(()),
        }
    }

    /// Refuses what an emulator that runs functions as processes of this machine could not run.
    pub fn check_for_this_machine(&self) -> Result<(), ArtifactError> {
        if Architecture::of_this_machine() == Some(self.architecture) {
            Ok(())
        } else {
            Err(ArtifactError::OtherMachine {
                path: self.path.clone(),
                built_for: self.architecture,
            })
        }
    }
}

/// The same executable is always the same zip: the archive tells no time, and the mode is fixed.
fn zipped(executable: &[u8]) -> io::Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(BOOTSTRAP, options)?;
    zip.write_all(executable)?;
    Ok(zip.finish()?.into_inner())
}

fn unzipped(zip: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| "not a zip".to_owned())?;
    let mut file = archive
        .by_name(BOOTSTRAP)
        .map_err(|_| format!("the zip holds no `{BOOTSTRAP}`"))?;
    if file.unix_mode().is_some_and(|mode| mode & 0o111 == 0) {
        return Err(format!("`{BOOTSTRAP}` in it is not executable"));
    }
    let mut executable = Vec::new();
    file.read_to_end(&mut executable)
        .map_err(|error| format!("`{BOOTSTRAP}` in it can't be unpacked: {error}"))?;
    Ok(executable)
}

/// What the executable is built for, and the newest glibc that it asks for.
fn inspect(executable: &[u8]) -> Result<(Architecture, Option<Glibc>), String> {
    let damaged = |error: object::read::Error| format!("a damaged executable: {error}");
    let not_elf = || "not a 64-bit Linux executable".to_owned();
    let header = elf::FileHeader64::<Endianness>::parse(executable).map_err(|_| not_elf())?;
    let endian = header.endian().map_err(damaged)?;
    let architecture = match header.e_machine(endian) {
        elf::EM_X86_64 => Architecture::X86_64,
        elf::EM_AARCH64 => Architecture::Arm64,
        _ => return Err("built for neither x86-64 nor arm64".to_owned()),
    };
    let sections = header.sections(endian, executable).map_err(damaged)?;
    let mut newest = None;
    for section in sections.iter() {
        let Some((mut needs, strings)) =
            section.gnu_verneed(endian, executable).map_err(damaged)?
        else {
            continue;
        };
        let strings = sections
            .strings(endian, executable, strings)
            .map_err(damaged)?;
        while let Some((_, mut versions)) = needs.next().map_err(damaged)? {
            while let Some(version) = versions.next().map_err(damaged)? {
                let name = version.name(endian, strings).map_err(damaged)?;
                let name = String::from_utf8_lossy(name);
                newest = newest.max(Glibc::of_symbol_version(&name));
            }
        }
    }
    Ok((architecture, newest))
}

/// SHA-256 in hexadecimal.
fn sha256_hex(content: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(content);
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test program: an executable of this machine.
    fn executable() -> Vec<u8> {
        fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn an_executable_is_zipped_the_same_every_time() {
        let zip = zipped(b"\x7fELF and so on").unwrap();
        assert_eq!(zip, zipped(b"\x7fELF and so on").unwrap());
        assert_eq!(unzipped(&zip).unwrap(), b"\x7fELF and so on");
    }

    #[test]
    fn an_executable_tells_its_machine_and_its_glibc() {
        let (architecture, glibc) = inspect(&executable()).unwrap();
        assert_eq!(Some(architecture), Architecture::of_this_machine());
        assert!(
            glibc.is_some_and(|needs| needs >= Glibc(2, 17)),
            "{glibc:?}"
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(Glibc(2, 9).runs_on_lambda());
        assert!(LAMBDA_GLIBC.runs_on_lambda());
        assert!(!Glibc(2, 38).runs_on_lambda());
        assert_eq!(Glibc::of_symbol_version("GLIBC_2.2.5"), Some(Glibc(2, 2)));
        assert_eq!(Glibc::of_symbol_version("GCC_3.0"), None);
    }

    #[test]
    fn what_is_not_a_lambda_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            let Err(error) = Artifact::read(&path) else {
                panic!("{name} was taken")
            };
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "DIR")
        };
        let zip_of = |name: &str, mode: u32, content: &[u8]| {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            let options = SimpleFileOptions::default().unix_permissions(mode);
            zip.start_file(name, options).unwrap();
            zip.write_all(content).unwrap();
            zip.finish().unwrap().into_inner()
        };
        let mut other_machine = executable();
        other_machine.truncate(64); // The header is enough to tell.
        other_machine[18] = 8; // EM_MIPS
        let texts = [
            refusal("text", b"hello"),
            refusal("script.zip", &zip_of("bootstrap", 0o755, b"#!/bin/sh")),
            refusal("other.zip", &zip_of("main", 0o755, b"x")),
            refusal("mode.zip", &zip_of("bootstrap", 0o644, b"x")),
            refusal("mips", &other_machine),
        ];
        insta::assert_snapshot!(texts.join("\n"), @"
        `DIR/text` is not the Lambda's code: not a zip
        `DIR/script.zip` is not the Lambda's code: not a 64-bit Linux executable
        `DIR/other.zip` is not the Lambda's code: the zip holds no `bootstrap`
        `DIR/mode.zip` is not the Lambda's code: `bootstrap` in it is not executable
        `DIR/mips` is not the Lambda's code: built for neither x86-64 nor arm64
        ");
    }

    #[test]
    fn a_glibc_newer_than_lambdas_is_refused_there() {
        let artifact = Artifact {
            zip: Vec::new(),
            sha256: String::new(),
            architecture: Architecture::X86_64,
            glibc: Some(Glibc(2, 38)),
            path: "bootstrap".into(),
        };
        insta::assert_snapshot!(artifact.check_for_lambda().unwrap_err(), @"`bootstrap` needs glibc 2.38, and Lambda has 2.34");
    }

    #[test]
    fn what_was_built_last_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let debug = folder.path().join("debug");
        fs::create_dir_all(&debug).unwrap();
        fs::create_dir_all(folder.path().join("lambda")).unwrap();
        let find = || Artifact::find(None, &debug.join("curfew"));
        if !Path::new(INSTALLED).exists() {
            assert!(matches!(find().err(), Some(ArtifactError::NotFound)));
        }
        let age = |path: &Path, seconds| {
            let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options()
                .write(true)
                .open(path)
                .and_then(|file| file.set_modified(then))
                .unwrap();
        };
        let (executable_path, zip_path) = (
            debug.join(BOOTSTRAP),
            folder.path().join("lambda").join(ZIP),
        );
        let small = fs::read("/proc/self/exe").unwrap();
        fs::write(&executable_path, &small).unwrap();
        fs::write(&zip_path, b"stale").unwrap();
        age(&executable_path, 2_000_000_000);
        age(&zip_path, 1_000_000_000);
        assert!(find().is_ok());
        age(&zip_path, 2_100_000_000);
        assert!(matches!(
            find().err(),
            Some(ArtifactError::NotALambda { .. })
        ));
    }
}
