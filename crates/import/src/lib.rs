//! Translates the schedules of other schedulers into Curfew configuration: Instance Scheduler on AWS, and Cloud
//! Custodian's off-hours.
//!
//! Every input that the other tool accepts is either translated to the same meaning or refused by name. Where the
//! meaning differs, a comment in the TOML says so. This crate reads no files and no network: text in, text out.
//!
//! ```
//! let imported = curfew_import::custodian("off=(M-F,19);on=(M-F,7);tz=pt").unwrap();
//! assert!(imported.toml.contains(r#"timezone = "America/Los_Angeles""#));
//! assert!(imported.toml.contains(r#"start = "0 7 * * MON-FRI""#));
//! assert!(imported.toml.contains(r#"stop = "0 19 * * MON-FRI""#));
//! ```

mod custodian;
mod dynamodb;
mod instance_scheduler;
mod properties;
mod recurrence;
mod toml_writer;
mod week;
mod yaml;

use curfew_core::problem::Problem;

pub use self::custodian::custodian;
pub use self::instance_scheduler::instance_scheduler;

/// The result of translating another tool's schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Configuration that [`RawScheduleSet`](curfew_core::configuration::RawScheduleSet) reads and resolves, with comments.
    /// The first lines name its source; the same input gives the same text.
    pub toml: String,
    /// The schedules and properties that could not be translated, each under its name in the other tool. The TOML lists
    /// them as comments too.
    pub refused: Vec<Problem>,
}
