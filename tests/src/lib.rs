//! Whole-system tests; see `all/`. Here is what they share.

pub mod guests;
