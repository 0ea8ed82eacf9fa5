//! What people see while something takes longer than a moment: a spinner on a terminal, plain lines elsewhere. Goes to
//! standard error, or wherever it is told to; results are never written here.

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use curfew_aws::progress::{Progress, Silent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::printable::line;

/// A spinner if standard error is a terminal, else plain lines on it.
pub fn stderr() -> Box<dyn Progress> {
    if io::stderr().is_terminal() {
        Box::new(Spinner::default())
    } else {
        Box::new(Lines::new(io::stderr()))
    }
}

/// A spinner if somebody watches, else nothing: for commands whose progress nobody reads afterwards.
pub fn for_watchers() -> Box<dyn Progress> {
    if io::stderr().is_terminal() {
        Box::new(Spinner::default())
    } else {
        Box::new(Silent)
    }
}

/// Waits for `work`, and shows that it goes on once it has taken longer than a moment; `result` says what came of it then.
pub async fn patiently<T>(
    progress: &dyn Progress,
    step: &str,
    work: impl Future<Output = T>,
    result: impl FnOnce(&T) -> String,
) -> T {
    /// Who gets an answer within a second has not begun to wonder.
    const A_MOMENT: Duration = Duration::from_secs(1);
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(A_MOMENT) => progress.begin(step),
    }
    let done = work.await;
    progress.end(&result(&done));
    done
}

/// One line per step and detail, as they come: for pipes, logs and CI.
#[derive(Debug)]
pub struct Lines<W>(Mutex<Running<W>>);

#[derive(Debug)]
struct Running<W> {
    writer: W,
    since: Option<Instant>,
}

impl<W: Write + Send> Lines<W> {
    /// Writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(Running {
            writer,
            since: None,
        }))
    }

    /// Where it wrote to.
    pub fn into_inner(self) -> W {
        let running = self.0.into_inner();
        running.unwrap_or_else(PoisonError::into_inner).writer
    }

    fn with(&self, act: impl FnOnce(&mut Running<W>) -> io::Result<()>) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads may have gone; that must not end what is under way.
        let _gone = act(&mut running);
    }
}

impl<W: Write + Send> Progress for Lines<W> {
    fn begin(&self, step: &str) {
        self.with(|running| {
            running.since = Some(Instant::now());
            writeln!(running.writer, "{} …", line(step))
        });
    }

    fn detail(&self, text: &str) {
        self.with(|running| writeln!(running.writer, "  {}", line(text)));
    }

    fn end(&self, result: &str) {
        self.with(|running| {
            let took = took(running.since.take().map(|since| since.elapsed()));
            writeln!(running.writer, "{}{took}", line(result))
        });
    }

    fn note(&self, text: &str) {
        self.with(|running| writeln!(running.writer, "note: {}", line(text)));
    }
}

/// One moving line on a terminal, replaced by each step's result.
#[derive(Debug, Default)]
pub struct Spinner(Mutex<Option<(ProgressBar, String)>>);

impl Spinner {
    /// Fast enough to look alive, slow enough for a serial console.
    const TICK: Duration = Duration::from_millis(120);
}

impl Progress for Spinner {
    fn begin(&self, step: &str) {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
            .expect("the template is a constant");
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.set_message(line(step).into_owned());
        bar.enable_steady_tick(Self::TICK);
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, _)) = running.replace((bar, line(step).into_owned())) {
            before.finish_and_clear();
        }
    }

    fn detail(&self, text: &str) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bar, step)) = running.as_ref() {
            bar.set_message(format!("{step} · {}", line(text)));
        }
    }

    fn end(&self, result: &str) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = running.take().map(|(bar, _)| {
            bar.finish_and_clear();
            bar.elapsed()
        });
        let _gone = writeln!(io::stderr(), "✓ {}{}", line(result), took(elapsed));
    }

    fn note(&self, text: &str) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || writeln!(io::stderr(), "! {}", line(text));
        let _gone = match running.as_ref() {
            Some((bar, _)) => bar.suspend(write),
            None => write(),
        };
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let running = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((bar, _)) = running.take() {
            bar.finish_and_clear();
        }
    }
}

/// Only what took noticeable time says how long.
fn took(elapsed: Option<Duration>) -> String {
    match elapsed {
        Some(elapsed) if elapsed >= Duration::from_secs(1) => {
            format!(" ({:.1} s)", elapsed.as_secs_f64())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_progress_is_plain_lines() {
        let lines = Lines::new(Vec::new());
        lines.begin("Deploying");
        lines.detail("Function: created");
        lines.note("look");
        lines.end("Deployed");
        let written = lines.into_inner();
        insta::assert_snapshot!(String::from_utf8(written).unwrap(), @"
        Deploying …
          Function: created
        note: look
        Deployed
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_quick_shows_nothing_and_what_takes_longer_does() {
        let lines = Lines::new(Vec::new());
        for milliseconds in [900, 1500] {
            let work = async {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                milliseconds
            };
            let done = patiently(&lines, "Looking", work, |took| {
                format!("Looked for {took} ms")
            })
            .await;
            assert_eq!(done, milliseconds);
        }
        let written = lines.into_inner();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "Looking …\nLooked for 1500 ms\n"
        );
    }

    #[test]
    fn only_what_took_time_says_so() {
        assert_eq!(took(Some(Duration::from_millis(900))), "");
        assert_eq!(took(Some(Duration::from_millis(1250))), " (1.2 s)");
    }
}
