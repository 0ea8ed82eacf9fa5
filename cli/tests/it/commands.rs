//! The commands that look at instances and change them, as a script or a person sees them: the `curfew` program in a cleared
//! environment, against the model of EC2 over HTTP.

mod accounts;
mod apply;
mod cloud;
mod credentials;
mod doctor;
mod explain;
mod plan;
mod request;
mod status;
