//! Cloud Custodian's off-hours: a tag's value, or a policy with `offhour` and `onhour` filters.
//!
//! Follows
//! [`c7n/filters/offhours.py`](https://github.com/cloud-custodian/cloud-custodian/blob/main/c7n/filters/offhours.py).
//! Its schedules are edges on whole hours, without a desired state between them.

mod hours;
mod policy;
mod tag;

use curfew_core::problem::Problem;

use self::hours::note_inline_form;
use self::tag::Tag;
use crate::Imported;
use crate::toml_writer::{Draft, finish};

/// Translates the value of an off-hours tag, such as `off=[(M-F,21),(U,18)];on=[(M-F,6),(U,10)];tz=pt`, or policies in
/// YAML or JSON. A value may be in any case, have spaces or quotes, or use the escapes for services whose tags allow no
/// punctuation.
///
/// # Errors
///
/// Returns every problem that was found.
pub fn custodian(text: &str) -> Result<Imported, Vec<Problem>> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let mut header = vec![
        "Imported from Cloud Custodian's off-hours by `curfew import custodian`.".to_owned(),
        "Clock changes: an hour that occurs twice acts twice there, and one that is skipped not at all; here every edge \
         happens once. An edge that an outage missed is lost there, and caught up here."
            .to_owned(),
    ];
    if is_document(text) {
        let policies = policy::read(text)?;
        return finish(&header, policies.drafts, policies.refused);
    }
    header.insert(1, format!("The tag's value: `{text}`"));
    let mut draft = Draft {
        name: "offhours".to_owned(),
        ..Draft::default()
    };
    match Tag::parse(text)? {
        Tag::OptedOut => {
            header.push(
                "`off` opts an instance out. The tag that opts out here is `Schedule = none`."
                    .to_owned(),
            );
            return finish(&header, Vec::new(), Vec::new());
        }
        Tag::Schedule(hours) => hours.apply(&mut draft),
    }
    note_inline_form(&mut draft);
    finish(&header, vec![draft], Vec::new())
}

/// Returns whether a text is JSON or YAML, rather than a tag's value: values have no colons, and no lines.
fn is_document(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end);
    text.starts_with(['{', '[', '#'])
        || lines.any(|line| line == "---" || line.ends_with(':') || line.contains(": "))
}
