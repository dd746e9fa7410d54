//! What changes on a running host: files that are followed, plugins that are swapped.
//!
//! | file | what it does |
//! |---|---|
//! | `config` | says what another config changes |
//! | `watch` | follows files and tells of what they hold once it has settled |
//! | `whole` | tells a whole component from one that is still being written |

pub mod config;
pub mod watch;
mod whole;

pub use whole::whole;
