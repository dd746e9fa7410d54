//! What a plugin's author needs besides a compiler: test cases, run in the real sandbox, and the SDK that
//! this binary carries.
//!
//! A [`Case`] is a file of calls, with what is expected of each; [`run`] makes them, [`compare`] says
//! where the answers differ, [`update`] writes them into the file.

pub mod bench;
pub mod capture;
pub mod case;
pub mod compare;
pub mod run;
pub mod sdk;
pub mod template;
pub mod update;

pub use self::case::{Case, CaseError};
