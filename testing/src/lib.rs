//! Test support: a model of EC2 that behaves as AWS documents where the emulators do not.
//!
//! Only ever a dev-dependency.
