//! A new plugin's folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sdk;

/// What a new plugin starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// Decides by each message alone
    Stateless,
    /// Remembers something per key
    #[default]
    Stateful,
    /// Sets timers
    Timer,
}

/// Why there is no new plugin.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name can't be a crate's.
    #[error(
        "'{0}' can't be a plugin's name: write lower-case letters, digits and hyphens, a letter first, as in too-hot"
    )]
    Name(String),
    /// The name means something already.
    #[error(
        "'{0}' can't be a plugin's name: it is Rust's own, or a crate's that plugins use; take another"
    )]
    Reserved(String),
    /// Something is there.
    #[error("{}: there is something already; name another folder with --dir", .0.display())]
    Taken(PathBuf),
    /// The file system says no.
    #[error("can't make {}: {cause}; name another folder with --dir", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

/// Names that cargo doesn't take for a library, or that clash with what a plugin depends on.
const RESERVED: [&str; 8] =
    ["test", "core", "std", "alloc", "proc-macro", "serde", "serde-json", "sluicegate-sdk"];

impl Template {
    fn files(self) -> [&'static str; 3] {
        match self {
            Self::Stateless => [
                include_str!("template/stateless/lib.rs"),
                include_str!("template/stateless/tests.rs"),
                include_str!("template/stateless/case.toml"),
            ],
            Self::Stateful => [
                include_str!("template/stateful/lib.rs"),
                include_str!("template/stateful/tests.rs"),
                include_str!("template/stateful/case.toml"),
            ],
            Self::Timer => [
                include_str!("template/timer/lib.rs"),
                include_str!("template/timer/tests.rs"),
                include_str!("template/timer/case.toml"),
            ],
        }
    }
}

/// Makes a folder with a plugin that builds, passes its tests, and needs nothing outside it.
///
/// # Errors
/// A name that can't be, a folder that isn't empty.
pub fn create(folder: &Path, name: &str, template: Template) -> Result<(), NewError> {
    if !is_name(name) {
        return Err(NewError::Name(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(NewError::Reserved(name.to_owned()));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| NewError::Io { path, cause }
    };
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(NewError::Taken(folder.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(folder)(error)),
    }
    for (path, text) in files(name, template) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        fs::write(&path, text).map_err(failed(&path))?;
    }
    let sdk = folder.join("sdk");
    sdk::unpack(&sdk).map_err(failed(&sdk))
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(good)
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Every file but the SDK's.
fn files(name: &str, template: Template) -> Vec<(&'static str, String)> {
    let type_name: String = name.split('-').map(capitalised).collect();
    let [code, tests, case] = template
        .files()
        .map(|text| text.replace("PLUGIN-NAME", name).replace("PluginType", &type_name));
    let filled = |text: &str| {
        text.replace("PLUGIN-NAME", name)
            .replace("PLUGIN_FILE", &name.replace('-', "_"))
            .replace("CHANNEL", sdk::channel())
            .replace("VERSION", env!("CARGO_PKG_VERSION"))
    };
    vec![
        ("Cargo.toml", filled(include_str!("template/manifest.toml"))),
        ("Cargo.lock", lock(name)),
        ("rust-toolchain.toml", filled(include_str!("template/toolchain.toml"))),
        ("README.md", filled(include_str!("template/readme.md"))),
        (".gitignore", "/target/\n".to_owned()),
        ("src/lib.rs", code),
        ("src/tests.rs", tests),
        ("cases/first.toml", case),
    ]
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The lock file: what this binary was tested with, and the plugin itself.
fn lock(name: &str) -> String {
    let own = format!(
        "[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"serde\",\n \
         \"serde_json\",\n \"sluicegate-sdk\",\n]\n\n"
    );
    let mut lock = sdk::lock().to_owned();
    // Packages are in order of their names.
    let after = |at: &usize| {
        let rest = lock[*at..].strip_prefix("[[package]]\nname = \"").unwrap_or_default();
        rest.split('"').next().is_some_and(|other| other > name)
    };
    let at = lock.match_indices("[[package]]").map(|(at, _)| at).find(after).unwrap_or(lock.len());
    lock.insert_str(at, &own);
    lock.truncate(lock.trim_end().len());
    lock.push('\n');
    lock
}

#[cfg(test)]
mod tests;
