//! Commands that observe and change instances, run as a process in a cleared environment against the model of EC2 over HTTP.

mod accounts;
mod apply;
pub(crate) mod cloud;
mod credentials;
mod doctor;
mod explain;
mod plan;
mod request;
mod status;
mod times;
