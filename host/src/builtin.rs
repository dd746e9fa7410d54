//! The plugins that this binary carries.
