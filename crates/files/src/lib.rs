//! Reading a file that a person names: a regular one, up to a bound. What is none, such as a pipe that nobody writes to, would be
//! waited for forever, and what has no end would fill the memory.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Reads all of a regular file of at most `limit` bytes. Blocks while the disk works: asynchronous code calls it on a thread for that.
/// `/dev/null` counts as an empty file, as people use it to say "none".
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    check(path, limit)?;
    // Opened a moment later it may be another, which is then read as far as the bound, and no further.
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// The same of a text in UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Whether [`read`] would read it, by what the file system tells of it: it is not opened.
pub fn check(path: &Path, limit: u64) -> io::Result<()> {
    let file = std::fs::metadata(path)?;
    if !file.is_file() && !is_null(&file) {
        let what = if file.is_dir() {
            "a directory"
        } else {
            "a pipe, a socket or a device"
        };
        let message = format!("it is {what}, and not a regular file");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if file.len() > limit {
        return Err(too_large(limit));
    }
    Ok(())
}

fn is_null(file: &Metadata) -> bool {
    /// Major 1, minor 3: <https://www.kernel.org/doc/html/latest/admin-guide/devices.html>
    const NULL: u64 = (1 << 8) | 3;
    file.file_type().is_char_device() && file.rdev() == NULL
}

fn too_large(limit: u64) -> io::Error {
    let message = format!("it has more than {} KiB", limit / 1024);
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_the_bound_and_nothing_else_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        let told = |error: io::Error| error.to_string();
        std::fs::write(&path, vec![b'x'; 2049]).unwrap();
        assert_eq!(
            told(read(&path, 2048).unwrap_err()),
            "it has more than 2 KiB"
        );
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(told(read_text(&path, 5).unwrap_err()), "it is not UTF-8");

        // Opening it would wait for somebody who writes.
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let expected = "it is a pipe, a socket or a device, and not a regular file";
        assert_eq!(told(read(&pipe, 5).unwrap_err()), expected);
        assert_eq!(told(read(Path::new("/dev/zero"), 5).unwrap_err()), expected);
        let expected = "it is a directory, and not a regular file";
        assert_eq!(told(read(folder.path(), 5).unwrap_err()), expected);

        assert_eq!(read(Path::new("/dev/null"), 5).unwrap(), b"");
        // It says that it is empty, and has no end.
        let endless = Path::new("/proc/self/mem");
        assert!(read(endless, 5).is_err());
        // It says that it is empty, and is not.
        assert!(read(Path::new("/proc/self/status"), 5).is_err());
    }
}
