//! Reads files at paths that the user gives: regular files, up to a size limit. A pipe without a writer would block
//! forever, and an endless device would fill the memory.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Reads a regular file of at most `limit` bytes. Blocks on disk I/O: asynchronous code must call it on a blocking
/// thread. `/dev/null` counts as an empty file, as a way to pass "none". Fails for any other kind of file, and for a
/// larger one.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    check(path, limit)?;
    // The file may have been replaced since the check; at most the limit is read.
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(bytes)
}

/// Reads a UTF-8 text file under the same limits as [`read`]. Fails if it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Checks the type and size from the file's metadata, without opening it. Fails as [`read`] would.
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
        let message_of = |error: io::Error| error.to_string();
        std::fs::write(&path, vec![b'x'; 2049]).unwrap();
        assert_eq!(
            message_of(read(&path, 2048).unwrap_err()),
            "it has more than 2 KiB"
        );
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(
            message_of(read_text(&path, 5).unwrap_err()),
            "it is not UTF-8"
        );

        // Opening it would block until there is a writer.
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let expected = "it is a pipe, a socket or a device, and not a regular file";
        assert_eq!(message_of(read(&pipe, 5).unwrap_err()), expected);
        assert_eq!(
            message_of(read(Path::new("/dev/zero"), 5).unwrap_err()),
            expected
        );
        let expected = "it is a directory, and not a regular file";
        assert_eq!(message_of(read(folder.path(), 5).unwrap_err()), expected);

        assert_eq!(read(Path::new("/dev/null"), 5).unwrap(), b"");
        // Reports a length of 0 and has no end.
        let endless = Path::new("/proc/self/mem");
        assert!(read(endless, 5).is_err());
        // Reports a length of 0 and has content.
        assert!(read(Path::new("/proc/self/status"), 5).is_err());
    }
}
