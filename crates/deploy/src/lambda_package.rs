//! The Lambda's zip: finds it or makes it from the executable, and checks whether Lambda can run it. `bucket` uploads it.

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
/// The path of the zip in the `.deb` package.
const INSTALLED: &str = "/usr/lib/curfew/curfew-lambda.zip";
/// The glibc of Amazon Linux 2023, the system of `provided.al2023`.
const LAMBDA_GLIBC: Glibc = Glibc(2, 34);

/// A zip with the Lambda's executable.
#[derive(Clone, PartialEq, Eq)]
pub struct LambdaPackage {
    pub(super) zip: Vec<u8>,
    /// The SHA-256 of the zip, in hexadecimal.
    pub sha256: String,
    /// The architecture of the executable.
    pub architecture: Architecture,
    /// The newest glibc version that it needs; none if it is static.
    pub glibc: Option<Glibc>,
    /// The path that it was read from.
    pub path: PathBuf,
}

/// A processor architecture of Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 64-bit x86, by Intel and AMD.
    X86_64,
    /// 64-bit Arm (AWS Graviton).
    Arm64,
}

impl Architecture {
    /// Returns CloudFormation's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns this machine's architecture; none if Lambda has no such.
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
    /// Whether Lambda's system has this version or a newer one.
    pub fn runs_on_lambda(self) -> bool {
        self <= LAMBDA_GLIBC
    }

    /// Parses a symbol version such as `GLIBC_2.34`.
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

/// Why the Lambda's code can't be deployed.
#[derive(Debug, thiserror::Error)]
pub enum LambdaPackageError {
    /// No code was found.
    #[error("the Lambda's code was found neither next to `curfew` nor in `{INSTALLED}`")]
    NotFound,
    /// The file can't be read.
    #[error("`{}` can't be read: {source}", .path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file is neither a zip with the Lambda's executable nor that executable.
    #[error("`{}` is not the Lambda's code: {what}", .path.display())]
    InvalidPackage {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        what: String,
    },
    /// The code needs a newer glibc than Lambda's.
    #[error("`{}` needs glibc {needs}, and Lambda has {LAMBDA_GLIBC}", .path.display())]
    GlibcTooNew {
        /// The path of the file.
        path: PathBuf,
        /// The glibc version that the code needs.
        needs: Glibc,
    },
    /// The code is for another architecture than this machine's, on which the emulator runs it.
    #[error("`{}` is built for {}, and the emulator runs it on this {} machine", .path.display(), .built_for.as_str(), std::env::consts::ARCH)]
    WrongArchitecture {
        /// The path of the file.
        path: PathBuf,
        /// The architecture of the code.
        built_for: Architecture,
    },
}

impl LambdaPackageError {
    /// Returns what the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound => "build it with `make dist`, or pass its path with --lambda-zip",
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::InvalidPackage { .. } => {
                "build it with `make dist`: a zip with the executable `bootstrap`"
            }
            Self::GlibcTooNew { .. } => {
                "build it with `make dist`, which builds for Lambda's system"
            }
            Self::WrongArchitecture { .. } => "build it on and for this machine with `cargo build`",
        }
    }
}

impl LambdaPackage {
    /// Finds the Lambda's code: the zip or executable at `explicit`; else the newest one in the build tree of `program`; else the one that
    /// the `.deb` package installed.
    pub fn find(explicit: Option<&Path>, program: &Path) -> Result<Self, LambdaPackageError> {
        if let Some(path) = explicit {
            return Self::read(path);
        }
        let directory = program.parent().unwrap_or(Path::new("."));
        let built = [
            directory.join(BOOTSTRAP),
            directory.join("../lambda").join(ZIP),
        ];
        let newest = built
            .into_iter()
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .max();
        match newest {
            Some((_, path)) => Self::read(&path),
            None if Path::new(INSTALLED).exists() => Self::read(Path::new(INSTALLED)),
            None => Err(LambdaPackageError::NotFound),
        }
    }

    /// Reads a zip with the executable `bootstrap`, or zips that executable.
    pub fn read(path: &Path) -> Result<Self, LambdaPackageError> {
        let unreadable = |source| LambdaPackageError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let invalid = |what: String| LambdaPackageError::InvalidPackage {
            path: path.to_owned(),
            what,
        };
        let content = fs::read(path).map_err(unreadable)?;
        let (zip, executable) = if content.starts_with(&elf::ELFMAG) {
            (zip_executable(&content).map_err(unreadable)?, content)
        } else {
            let executable = unzip_executable(&content).map_err(invalid)?;
            (content, executable)
        };
        let (architecture, glibc) = inspect(&executable).map_err(invalid)?;
        Ok(Self {
            sha256: sha256_hex(&zip),
            zip,
            architecture,
            glibc,
            path: path.to_owned(),
        })
    }

    /// Fails if Lambda's system could not run the code.
    pub fn check_for_lambda(&self) -> Result<(), LambdaPackageError> {
        match self.glibc {
            Some(needs) if !needs.runs_on_lambda() => Err(LambdaPackageError::GlibcTooNew {
                path: self.path.clone(),
                needs,
            }),
            _ => Ok(()),
        }
    }

    /// Fails if this machine could not run the code, for emulators that run functions as processes.
    pub fn check_for_this_machine(&self) -> Result<(), LambdaPackageError> {
        if Architecture::of_this_machine() == Some(self.architecture) {
            Ok(())
        } else {
            Err(LambdaPackageError::WrongArchitecture {
                path: self.path.clone(),
                built_for: self.architecture,
            })
        }
    }
}

/// Zips the executable reproducibly, with fixed time and mode. A release is zipped by `make dist`: this is a development build, of some
/// 50 MB, which the fastest level compresses in a quarter of the default's time.
fn zip_executable(executable: &[u8]) -> io::Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(1))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(BOOTSTRAP, options)?;
    zip.write_all(executable)?;
    Ok(zip.finish()?.into_inner())
}

fn unzip_executable(zip: &[u8]) -> Result<Vec<u8>, String> {
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

/// Returns the executable's architecture and the newest glibc version that it needs.
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

    /// Returns this test program, an executable for this machine.
    fn executable() -> Vec<u8> {
        fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn zipping_is_reproducible() {
        let zip = zip_executable(b"\x7fELF and so on").unwrap();
        assert_eq!(zip, zip_executable(b"\x7fELF and so on").unwrap());
        assert_eq!(unzip_executable(&zip).unwrap(), b"\x7fELF and so on");
    }

    #[test]
    fn architecture_and_glibc_are_read_from_an_executable() {
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
    fn invalid_packages_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            let Err(error) = LambdaPackage::read(&path) else {
                panic!("{name} was accepted")
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
        other_machine.truncate(64); // The header is enough.
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
    fn a_glibc_newer_than_lambdas_is_refused() {
        let package = LambdaPackage {
            zip: Vec::new(),
            sha256: String::new(),
            architecture: Architecture::X86_64,
            glibc: Some(Glibc(2, 38)),
            path: "bootstrap".into(),
        };
        insta::assert_snapshot!(package.check_for_lambda().unwrap_err(), @"`bootstrap` needs glibc 2.38, and Lambda has 2.34");
    }

    #[test]
    fn the_newest_build_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let debug = folder.path().join("debug");
        fs::create_dir_all(&debug).unwrap();
        fs::create_dir_all(folder.path().join("lambda")).unwrap();
        let find = || LambdaPackage::find(None, &debug.join("curfew"));
        if !Path::new(INSTALLED).exists() {
            assert!(matches!(find().err(), Some(LambdaPackageError::NotFound)));
        }
        let set_modified = |path: &Path, seconds| {
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
        set_modified(&executable_path, 2_000_000_000);
        set_modified(&zip_path, 1_000_000_000);
        assert!(find().is_ok());
        set_modified(&zip_path, 2_100_000_000);
        assert!(matches!(
            find().err(),
            Some(LambdaPackageError::InvalidPackage { .. })
        ));
    }
}
