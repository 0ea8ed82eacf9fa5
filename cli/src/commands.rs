//! The commands, one file each. What several of them need stands beside this module.

pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod next;
pub(crate) mod notify;
pub(crate) mod plan;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod savings;
pub(crate) mod simulate;
pub(crate) mod stack;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod up;
