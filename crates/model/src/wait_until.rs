//! Waits for conditions that other tasks bring about.

use std::time::Duration;

/// Polls `condition` until it holds, for at most one minute.
///
/// # Panics
///
/// If the condition does not hold by then; the message has `what`.
pub async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let timeout = Duration::from_mins(1);
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(timeout, wait)
        .await
        .unwrap_or_else(|_| panic!("not within {timeout:?}: {what}"));
}
