//! A pseudo-terminal, for prompts and output on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const TIME_LIMIT: Duration = Duration::from_mins(1);

/// A program on a terminal of 40 lines and 160 columns.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    pub(crate) fn run(mut command: Command) -> Self {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 160,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&main, size).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let other_end = || {
            let path = name.to_str().unwrap();
            File::options().read(true).write(true).open(path).unwrap()
        };
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(other_end())
            .stdout(other_end())
            .stderr(other_end())
            .spawn()
            .unwrap();
        // `command` would keep the other ends open.
        drop(command);
        let keyboard = File::from(main);
        let mut reading = keyboard.try_clone().unwrap();
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux reports that the other end was closed as an error.
            while let Ok(read @ 1..) = reading.read(&mut buffer) {
                let _receiver_dropped = send.send(buffer[..read].to_vec());
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: String::new(),
        }
    }

    /// Waits for `text`.
    pub(crate) fn until(&mut self, text: &str) -> &mut Self {
        let deadline = Instant::now() + TIME_LIMIT;
        while !self.seen.contains(text) {
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(rest) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(gone) => panic!("`{text}` did not come ({gone}): {}", self.seen),
            }
        }
        self
    }

    pub(crate) fn type_in(&mut self, text: &str) -> &mut Self {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Returns the exit code and all output, with plain line ends and without control sequences.
    pub(crate) fn end(self) -> (i32, String) {
        let (code, seen) = self.end_with_control_sequences();
        (code, plain(&seen))
    }

    /// Returns the exit code and all output.
    pub(crate) fn end_with_control_sequences(mut self) -> (i32, String) {
        while let Ok(bytes) = self.screen.recv_timeout(TIME_LIMIT) {
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        let status = self.child.wait().unwrap();
        (status.code().unwrap(), self.seen)
    }

    /// Kills a program that has not exited.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => {
                // `ESC [ … letter`.
                characters.find(char::is_ascii_alphabetic);
            }
            '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}
