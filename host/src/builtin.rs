//! The plugins that this binary carries: those in `plugins/`, built by `build.rs`.
//!
//! A config names one as `file = "builtin:meter-validate"`; the demo runs on them.

mod table {
    include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
}

/// The component of that name.
#[must_use]
pub fn plugin(name: &str) -> Option<&'static [u8]> {
    table::ALL.iter().find(|(known, _)| *known == name).map(|(_, component)| *component)
}

/// The names of all, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    table::ALL.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests;
