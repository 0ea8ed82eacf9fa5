//! Log output to journald in its native protocol: a line of text, and each value as a field that `journalctl` can match.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>
//!
//! The crate `tracing-journald` implements it too, but its `MESSAGE` is the event's message alone: `journalctl` without
//! options would show "instance changed state" and no instance.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The socket of journald.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// The prefix of Curfew's field names, which separates them from those of journald and of other programs.
const PREFIX: &str = "CURFEW_";

/// The longest field name that journald accepts.
const LONGEST_NAME: usize = 64;

/// A layer that sends events to journald.
pub(super) struct Journald {
    socket: UnixDatagram,
}

impl Journald {
    /// Connects to the journald that listens at `socket`.
    pub(super) fn connect(socket: &Path) -> io::Result<Self> {
        let ours = UnixDatagram::unbound()?;
        ours.connect(socket)?;
        Ok(Self { socket: ours })
    }

    /// Sends one entry: as a datagram, or as a file if it is larger than the socket's buffer.
    fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send(entry) {
            Err(error) if is_too_large(&error) => self.send_file(entry),
            sent => sent.map(drop),
        }
    }

    /// Passes the entry's descriptor in an empty datagram. journald accepts a memory file only once it is sealed against
    /// changes.
    fn send_file(&self, entry: &[u8]) -> io::Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("curfew-log-entry", flags)?);
        file.write_all(entry)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        let files = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = control.push(SendAncillaryMessage::ScmRights(&files));
        debug_assert!(fits, "the buffer has room for one descriptor");
        let empty = [IoSlice::new(&[])];
        sendmsg(&self.socket, &empty, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Linux returns `EMSGSIZE` beyond the socket's buffer, and `ENOBUFS` if the buffer can't be allocated.
fn is_too_large(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::MSGSIZE | rustix::io::Errno::NOBUFS)
    )
}

impl<S> Layer<S> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut facts = Facts::default();
        attributes.record(&mut facts);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(facts);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut facts = Facts::default();
        event.record(&mut facts);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Facts>() {
                facts.named.extend(of_span.named.iter().cloned());
            }
        }
        // If journald is gone, the error can't be logged either.
        let _ = self.send(&entry(event, &facts));
    }
}

/// The fields of an event or a span.
#[derive(Debug, Default)]
struct Facts {
    message: String,
    named: Vec<(&'static str, String)>,
}

impl Visit for Facts {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.named.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn entry(event: &Event<'_>, facts: &Facts) -> Vec<u8> {
    let mut line = facts.message.clone();
    for (name, value) in &facts.named {
        let quoted = if value.is_empty() || value.contains([' ', '\n']) {
            format!("{value:?}")
        } else {
            value.clone()
        };
        let _ = write!(line, " {name}={quoted}");
    }
    let mut entry = Vec::new();
    put(&mut entry, "MESSAGE", &line);
    put(&mut entry, "PRIORITY", priority(*event.metadata().level()));
    put(&mut entry, "SYSLOG_IDENTIFIER", "curfew");
    put(&mut entry, "CURFEW_EVENT", &facts.message);
    put(&mut entry, "CODE_MODULE", event.metadata().target());
    for (name, value) in &facts.named {
        put(&mut entry, &field_name(name), value);
    }
    entry
}

/// Returns the syslog severity of a level.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// Upper-case letters, digits and underscores, as journald requires.
fn field_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name = PREFIX.chars().chain(name.chars().map(plain));
    name.take(LONGEST_NAME).collect()
}

/// Writes a field; a value with line breaks is preceded by its length.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::os::unix::fs::FileExt as _;

    use rustix::fs::fcntl_get_seals;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use tracing::{error, info, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("socket")).unwrap();
        let journald = Journald::connect(&directory.path().join("socket")).unwrap();
        let subscriber = tracing_subscriber::registry().with(journald);
        tracing::subscriber::with_default(subscriber, log);
        let mut buffer = vec![0; 8192];
        let length = socket.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    #[test]
    fn an_event_is_a_line_of_text_and_a_field_for_each_value_including_its_spans() {
        let entry = logged(|| {
            let _pass = info_span!("pass", region = "eu-west-3").entered();
            info!(instance = "i-0abc", name = Some("web 1"), to = %"stopped", latency_seconds = 0.25, "instance changed state");
        });
        let lines = String::from_utf8(entry).unwrap();
        insta::assert_snapshot!(lines, @r#"
        MESSAGE=instance changed state instance=i-0abc name="web 1" to=stopped latency_seconds=0.25 region=eu-west-3
        PRIORITY=6
        SYSLOG_IDENTIFIER=curfew
        CURFEW_EVENT=instance changed state
        CODE_MODULE=curfew_daemon::logging::journald::tests
        CURFEW_INSTANCE=i-0abc
        CURFEW_NAME=web 1
        CURFEW_TO=stopped
        CURFEW_LATENCY_SECONDS=0.25
        CURFEW_REGION=eu-west-3
        "#);
    }

    #[test]
    fn a_value_of_several_lines_stays_one_field() {
        let entry = logged(|| error!(error = "2 problems:\n  MESSAGE=forged", "it failed"));
        let text = String::from_utf8_lossy(&entry);
        assert!(text.starts_with(
            "MESSAGE=it failed error=\"2 problems:\\n  MESSAGE=forged\"\nPRIORITY=3\n"
        ));
        let value = b"2 problems:\n  MESSAGE=forged";
        let mut field = b"CURFEW_ERROR\n".to_vec();
        field.extend_from_slice(&(value.len() as u64).to_le_bytes());
        field.extend_from_slice(value);
        assert!(entry.windows(field.len()).any(|part| part == field));
    }

    #[test]
    fn an_entry_larger_than_the_sockets_buffer_is_sent_as_a_sealed_file() {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("socket")).unwrap();
        let journald = Journald::connect(&directory.path().join("socket")).unwrap();
        let subscriber = tracing_subscriber::registry().with(journald);
        let long = "x".repeat(1 << 20);
        tracing::subscriber::with_default(subscriber, || error!(error = long, "it failed"));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; 8];
        let mut buffers = [IoSliceMut::new(&mut text)];
        let flags = RecvFlags::DONTWAIT;
        let received = recvmsg(&socket, &mut buffers, &mut control, flags).unwrap();
        assert_eq!(received.bytes, 0);
        let Some(RecvAncillaryMessage::ScmRights(mut files)) = control.drain().next() else {
            panic!("no descriptor was passed");
        };
        let file = File::from(files.next().unwrap());
        assert!(
            fcntl_get_seals(&file)
                .unwrap()
                .contains(SealFlags::WRITE | SealFlags::SEAL)
        );
        let mut entry = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut entry, 0).unwrap();
        let entry = String::from_utf8(entry).unwrap();
        assert!(entry.starts_with("MESSAGE=it failed error=xxx"));
        assert!(entry.ends_with("xxx\n"), "whole, the last field included");
        assert!(entry.len() > 2 << 20);
    }

    #[test]
    fn without_a_listening_socket_there_is_no_journald() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Journald::connect(&directory.path().join("socket")).is_err());
        assert_eq!(field_name("retry-seconds.x"), "CURFEW_RETRY_SECONDS_X");
    }
}
