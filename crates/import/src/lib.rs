//! Other schedulers' schedules as our configuration: Instance Scheduler on AWS, and Cloud Custodian's off-hours.
//!
//! What they accept is either translated to the same meaning or refused by name. Where the meaning differs, the TOML
//! says so in a comment next to it. No file and no network here: text in, text out.
//!
//! ```
//! let imported = curfew_import::custodian("off=(M-F,19);on=(M-F,7);tz=pt").unwrap();
//! assert!(imported.toml.contains(r#"timezone = "America/Los_Angeles""#));
//! assert!(imported.toml.contains(r#"start = "0 7 * * MON-FRI""#));
//! assert!(imported.toml.contains(r#"stop = "0 19 * * MON-FRI""#));
//! ```

mod custodian;
mod instance_scheduler;
mod properties;
mod recurrence;
mod sheet;
mod week;

use curfew_core::problem::Problem;

pub use self::custodian::custodian;
pub use self::instance_scheduler::instance_scheduler;

/// What became of another tool's schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Configuration that [`RawGovernance`](curfew_core::configuration::RawGovernance) reads and resolves, with comments. Its first lines
    /// say where it came from; the same input gives the same text.
    pub toml: String,
    /// What could not be translated, each by its name in the other tool. The text has it too, as comments.
    pub refused: Vec<Problem>,
}
