//! Waiting for what happens beside a test.

use std::time::Duration;

/// Waits until `condition` holds, looking again and again; on a busy machine as long as a minute.
///
/// # Panics
///
/// If it does not hold by then, with what was waited for.
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
