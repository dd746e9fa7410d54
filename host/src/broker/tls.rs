//! What TLS is verified with: the system's roots, those of the config, and the host's own identity.

use std::fs;
use std::path::Path;

use tcp_stream::{OwnedIdentity, OwnedTLSConfig};

use super::BrokerError;
use crate::config::Tls;

/// Reads the certificates; again at each connect, so that a rotated one needs no restart.
pub(super) fn read(tls: &Tls) -> Result<OwnedTLSConfig, BrokerError> {
    let failed = |what: &str, path: &Path, why: std::io::Error| {
        BrokerError::Unreachable(format!(
            "can't read the TLS {what} {}: {why}; it must be readable by the user that sluicegate \
             runs as",
            path.display()
        ))
    };
    let cert_chain = tls
        .ca
        .as_ref()
        .map(|path| fs::read_to_string(path).map_err(|why| failed("roots", path, why)))
        .transpose()?;
    let identity = match &tls.identity {
        None => None,
        Some(path) => {
            let der = fs::read(path).map_err(|why| failed("identity", path, why))?;
            let password = match &tls.identity_password {
                None => String::new(),
                Some(secret) => secret.read().map_err(BrokerError::Unreachable)?,
            };
            Some(OwnedIdentity::PKCS12 { der, password })
        }
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}
