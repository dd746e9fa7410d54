//! What may be a secret, and the one way to read it: when it is needed, so that a rotated one needs no
//! restart. Never printed, neither in an error nor by `Debug`.

use std::fmt;
use std::path::PathBuf;

#[cfg(test)]
mod tests;

/// A text that may be a secret, or where to find it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Written in the config.
    Inline(String),
    /// A file of one line that holds it.
    File(PathBuf),
    /// An environment variable that holds it.
    Env(String),
}

/// Where user and password of a broker come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// RabbitMQ's `guest`.
    Default,
    /// Written in the address.
    Inline(Login),
    /// A text `user:password`.
    Kept(Secret),
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Who; not empty.
    pub user: String,
    /// What proves it.
    pub password: String,
}

impl Secret {
    /// The text, without the end of its line.
    ///
    /// # Errors
    /// It can't be read, or isn't one line of text: what is wrong, without the text.
    pub fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Inline(text) => text.clone(),
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| {
                format!(
                    "can't read {self}: {error}; it must be text that sluicegate's user may read"
                )
            })?,
            Self::Env(name) => std::env::var(name).map_err(|error| format!("{self}: {error}"))?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() || text.contains(char::is_control) {
            return Err(format!("{self} doesn't hold one line of text"));
        }
        Ok(text.to_owned())
    }
}

/// Where it is.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("the text in the config"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(…)"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Env(name) => write!(f, "Env({name})"),
        }
    }
}

impl Credentials {
    /// Reads them.
    ///
    /// # Errors
    /// They can't be read, or aren't `user:password`: what is wrong, without them.
    pub fn read(&self) -> Result<Login, String> {
        let secret = match self {
            Self::Default => return Ok(Login::new("guest", "guest")),
            Self::Inline(login) => return Ok(login.clone()),
            Self::Kept(secret) => secret,
        };
        match secret.read()?.split_once(':') {
            Some((user, password)) if !user.is_empty() => Ok(Login::new(user, password)),
            _ => Err(format!("{secret} doesn't hold `user:password`")),
        }
    }
}

impl Login {
    /// Both.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }
}

/// The user alone.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}:…)", self.user)
    }
}
