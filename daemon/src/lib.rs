//! `curfew`: the command line and the daemon.
