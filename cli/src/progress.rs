//! Shows the progress of long operations: a spinner on a terminal, plain lines otherwise. Progress goes to standard error by default;
//! results are never written here.

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use curfew_aws::progress::{Progress, Silent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::printable::line;

/// Returns a spinner if standard error is a terminal, otherwise plain lines.
pub fn stderr() -> Box<dyn Progress> {
    if io::stderr().is_terminal() {
        Box::new(Spinner::default())
    } else {
        Box::new(Lines::new(io::stderr()))
    }
}

/// Returns a spinner if standard error is a terminal, otherwise no progress: for commands whose progress is not worth logging.
pub fn if_terminal() -> Box<dyn Progress> {
    if io::stderr().is_terminal() {
        Box::new(Spinner::default())
    } else {
        Box::new(Silent)
    }
}

/// Awaits `work`. If it takes longer than a second, shows `step` as progress and the text of `result` at the end.
pub async fn with_progress<T>(
    progress: &dyn Progress,
    step: &str,
    work: impl Future<Output = T>,
    result: impl FnOnce(&T) -> String,
) -> T {
    /// Users notice a delay after about a second.
    const SHOWN_AFTER: Duration = Duration::from_secs(1);
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(SHOWN_AFTER) => progress.begin(step),
    }
    let done = work.await;
    progress.end(&result(&done));
    done
}

/// Prints one line per step and detail: for pipes, logs and CI.
#[derive(Debug)]
pub struct Lines<W>(Mutex<LineState<W>>);

#[derive(Debug)]
struct LineState<W> {
    writer: W,
    since: Option<Instant>,
}

impl<W: Write + Send> Lines<W> {
    /// Creates progress lines that are written to `writer`.
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(LineState {
            writer,
            since: None,
        }))
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        let state = self.0.into_inner();
        state.unwrap_or_else(PoisonError::into_inner).writer
    }

    fn with(&self, act: impl FnOnce(&mut LineState<W>) -> io::Result<()>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed stream must not abort the operation.
        let _gone = act(&mut state);
    }
}

impl<W: Write + Send> Progress for Lines<W> {
    fn begin(&self, step: &str) {
        self.with(|state| {
            state.since = Some(Instant::now());
            writeln!(state.writer, "{} …", line(step))
        });
    }

    fn detail(&self, text: &str) {
        self.with(|state| writeln!(state.writer, "  {}", line(text)));
    }

    fn end(&self, result: &str) {
        self.with(|state| {
            let duration_suffix = duration_suffix(state.since.take().map(|since| since.elapsed()));
            writeln!(state.writer, "{}{duration_suffix}", line(result))
        });
    }

    fn note(&self, text: &str) {
        self.with(|state| writeln!(state.writer, "note: {}", line(text)));
    }
}

/// Shows an animated line on a terminal and replaces it with the result of each step.
#[derive(Debug, Default)]
pub struct Spinner(Mutex<Option<(ProgressBar, String)>>);

impl Spinner {
    /// Smooth enough for a terminal, slow enough for a serial console.
    const TICK: Duration = Duration::from_millis(120);
}

impl Progress for Spinner {
    fn begin(&self, step: &str) {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
            .expect("the template is a constant");
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.set_message(line(step).into_owned());
        bar.enable_steady_tick(Self::TICK);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, _)) = state.replace((bar, line(step).into_owned())) {
            before.finish_and_clear();
        }
    }

    fn detail(&self, text: &str) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bar, step)) = state.as_ref() {
            bar.set_message(format!("{step} · {}", line(text)));
        }
    }

    fn end(&self, result: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = state.take().map(|(bar, _)| {
            bar.finish_and_clear();
            bar.elapsed()
        });
        let _gone = writeln!(
            io::stderr(),
            "✓ {}{}",
            line(result),
            duration_suffix(elapsed)
        );
    }

    fn note(&self, text: &str) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || writeln!(io::stderr(), "! {}", line(text));
        let _gone = match state.as_ref() {
            Some((bar, _)) => bar.suspend(write),
            None => write(),
        };
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((bar, _)) = state.take() {
            bar.finish_and_clear();
        }
    }
}

/// Returns the duration as a suffix, or an empty string below one second.
fn duration_suffix(elapsed: Option<Duration>) -> String {
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
    async fn progress_is_shown_only_for_work_longer_than_a_second() {
        let lines = Lines::new(Vec::new());
        for milliseconds in [900, 1500] {
            let work = async {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                milliseconds
            };
            let done = with_progress(&lines, "Checking", work, |duration_suffix| {
                format!("Checked for {duration_suffix} ms")
            })
            .await;
            assert_eq!(done, milliseconds);
        }
        let written = lines.into_inner();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "Checking …\nChecked for 1500 ms\n"
        );
    }

    #[test]
    fn durations_are_shown_from_one_second() {
        assert_eq!(duration_suffix(Some(Duration::from_millis(900))), "");
        assert_eq!(
            duration_suffix(Some(Duration::from_millis(1250))),
            " (1.2 s)"
        );
    }
}
