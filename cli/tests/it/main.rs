//! Tests of the `curfew` program and its library as a process.

mod book;
mod cli;
mod codespace;
mod commands;
mod crash;
mod deploy_on_emulator;
mod doctor;
mod end_to_end;
mod enforced;
mod footprint;
mod json_reference;
mod localstack;
mod notify;
mod own_tools;
mod page;
mod permissions;
mod service;
mod simulate;
mod state_changes;
mod support;
