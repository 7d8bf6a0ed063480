//! Tell: signed webhooks, each in the dialect its receiver already reads.

pub mod dialect;
pub mod preset;
pub mod sign;
