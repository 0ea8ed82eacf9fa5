//! Finding the configuration file: the named one, else that of the current folder, else that of the system.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::ConfigurationError;

/// The configuration file of an installed Curfew.
pub const DEFAULT_FILE: &str = "/etc/curfew/curfew.toml";

/// The name of the configuration file in the current folder.
const NAME: &str = "curfew.toml";

/// The places that are searched when no file is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The current folder, then the system; for commands that are run in a shell.
    Folder,
    /// The system alone, since a daemon must not depend on the folder in which it was started.
    System,
}

/// The configuration file that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// The path of the file.
    pub path: PathBuf,
    /// Whether it was found in the current folder without being named.
    pub is_from_folder: bool,
}

/// Finds the file; `named` is the value of `--config` or `CURFEW_CONFIG`. `./curfew.toml` is taken only if no other user
/// could have written it: the file and its folder belong to the caller (the folder may be root's), and other users may not
/// write them.
pub fn find(named: Option<&Path>, lookup: Lookup) -> Result<FoundFile, ConfigurationError> {
    find_in(named, lookup, Path::new("."), Path::new(DEFAULT_FILE))
}

fn find_in(
    named: Option<&Path>,
    lookup: Lookup,
    folder: &Path,
    system: &Path,
) -> Result<FoundFile, ConfigurationError> {
    let found = |path: &Path, is_from_folder| {
        Ok(FoundFile {
            path: path.to_owned(),
            is_from_folder,
        })
    };
    if let Some(path) = named {
        return found(path, false);
    }
    let here = folder.join(NAME);
    let is_here = fs::symlink_metadata(&here).is_ok();
    if is_here && lookup == Lookup::Folder {
        let here = std::path::absolute(&here).unwrap_or(here);
        return match distrust(&here) {
            Ok(None) => found(&here, true),
            Ok(Some(reason)) => Err(ConfigurationError::NotTrusted { path: here, reason }),
            Err(source) => Err(ConfigurationError::Unreadable { path: here, source }),
        };
    }
    if system.exists() {
        return found(system, false);
    }
    Err(ConfigurationError::NoFile {
        ignored: is_here.then_some(here),
    })
}

/// Returns the reason why a file that was not named is not used, or `None` if it can be used.
fn distrust(file: &Path) -> io::Result<Option<&'static str>> {
    // A symbolic link leads to another folder, in which the file could be replaced: check that folder too.
    let target = fs::canonicalize(file)?;
    for path in [file, &target] {
        let link = fs::symlink_metadata(path)?;
        if !is_ours(link.uid()) {
            return Ok(Some("it belongs to another user"));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let folder = fs::metadata(folder)?;
        if !is_ours(folder.uid()) && folder.uid() != 0 {
            return Ok(Some("its folder belongs to another user"));
        }
        if others_may_write(&folder) {
            return Ok(Some("other users may write its folder"));
        }
    }
    let is_writable = others_may_write(&fs::metadata(&target)?);
    Ok(is_writable.then_some("other users may write it"))
}

fn is_ours(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
}

/// Returns whether other users may write the file. A group with the same number as the user is the user's private group, as most
/// distributions create it.
fn others_may_write(file: &fs::Metadata) -> bool {
    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o002;
    let own_group = file.gid() == rustix::process::geteuid().as_raw();
    file.mode() & OTHERS != 0 || (file.mode() & GROUP != 0 && !own_group)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct Folders(tempfile::TempDir);

    impl Folders {
        fn new() -> Self {
            let all = tempfile::tempdir().unwrap();
            for name in ["here", "etc", "open"] {
                fs::create_dir(all.path().join(name)).unwrap();
            }
            Self(all)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str) {
            fs::write(self.path(name), "[managing]\n").unwrap();
            self.allow(name, 0o644);
        }

        fn allow(&self, name: &str, mode: u32) {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }

        /// Returns the path of the file that is found, marked if it is the folder's, or the error.
        fn find(&self, named: Option<&str>, lookup: Lookup) -> String {
            let (here, system) = (self.path("here"), self.path("etc/curfew.toml"));
            let found = find_in(named.map(Path::new), lookup, &here, &system);
            let result = match found {
                Ok(found) if found.is_from_folder => format!("{} (folder)", found.path.display()),
                Ok(found) => found.path.display().to_string(),
                Err(error) => error.to_string(),
            };
            result.replace(self.0.path().to_str().unwrap(), "")
        }
    }

    #[test]
    fn a_named_file_is_used_else_the_folders_else_the_systems() {
        let folders = Folders::new();
        let nothing = folders.find(None, Lookup::Folder);
        assert!(
            nothing.starts_with("there is no configuration file"),
            "{nothing}"
        );
        folders.write("etc/curfew.toml");
        assert_eq!(folders.find(None, Lookup::Folder), "/etc/curfew.toml");
        folders.write("here/curfew.toml");
        assert_eq!(
            folders.find(None, Lookup::Folder),
            "/here/curfew.toml (folder)"
        );
        assert_eq!(folders.find(None, Lookup::System), "/etc/curfew.toml");
        // Whether it exists is reported when it is read.
        assert_eq!(folders.find(Some("x.toml"), Lookup::Folder), "x.toml");
        fs::remove_file(folders.path("etc/curfew.toml")).unwrap();
        let ignored = folders.find(None, Lookup::System);
        assert!(
            ignored.starts_with("there is no configuration file"),
            "{ignored}"
        );
    }

    #[test]
    fn a_folders_file_that_other_users_could_have_written_is_not_used_unless_named() {
        let folders = Folders::new();
        folders.write("here/curfew.toml");
        folders.write("etc/curfew.toml");
        let refused =
            |why: &str| format!("`/here/curfew.toml` is not taken without being named: {why}");
        for mode in [0o646, 0o666] {
            folders.allow("here/curfew.toml", mode);
            let result = folders.find(None, Lookup::Folder);
            assert_eq!(result, refused("other users may write it"), "{mode:o}");
        }
        folders.allow("here/curfew.toml", 0o644);
        folders.allow("here", 0o1777);
        let result = folders.find(None, Lookup::Folder);
        assert_eq!(result, refused("other users may write its folder"));
        folders.allow("here", 0o755);
        assert_eq!(
            folders.find(None, Lookup::Folder),
            "/here/curfew.toml (folder)"
        );

        // The same for the folder that a symbolic link leads to.
        folders.write("open/real.toml");
        folders.allow("open", 0o777);
        fs::remove_file(folders.path("here/curfew.toml")).unwrap();
        symlink(
            folders.path("open/real.toml"),
            folders.path("here/curfew.toml"),
        )
        .unwrap();
        let result = folders.find(None, Lookup::Folder);
        assert_eq!(result, refused("other users may write its folder"));
        folders.allow("open", 0o700);
        assert_eq!(
            folders.find(None, Lookup::Folder),
            "/here/curfew.toml (folder)"
        );
    }
}
