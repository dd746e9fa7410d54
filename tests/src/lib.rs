//! Whole-system tests; see `all/`.
