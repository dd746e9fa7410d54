//! One request to a webhook. What is secret about it is read for each request and told to nobody.

use std::sync::Arc;

use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use super::deliver::Attempt;
use super::telling::Telling;
use crate::config::{Webhook, WebhookFormat};
use crate::limits;

/// Where Alertmanager takes alerts.
const ALERTMANAGER_PATH: &str = "/api/v2/alerts";

/// Posts it, on a thread where that may take its time.
pub(super) async fn post(webhook: &Arc<Webhook>, telling: &Telling, host: &str) -> Attempt {
    let body = match webhook.format {
        WebhookFormat::Webhook => telling.webhook(host),
        WebhookFormat::Alertmanager => telling.alertmanager(host),
    };
    let webhook = Arc::clone(webhook);
    let posting = tokio::task::spawn_blocking(move || attempt(&webhook, &body));
    posting.await.unwrap_or_else(|error| Attempt::Again(error.to_string()))
}

fn attempt(webhook: &Webhook, body: &Value) -> Attempt {
    let (url, agent) = match address(webhook).and_then(|url| Ok((url, agent(webhook)?))) {
        Ok(both) => both,
        // A file or variable may be put right while the host runs.
        Err(why) => return Attempt::Again(why),
    };
    let mut request = agent.post(url.as_str()).header("content-type", "application/json");
    for (name, value) in &webhook.headers {
        match value.read() {
            Ok(value) => request = request.header(name, value),
            Err(why) => return Attempt::Again(format!("header {name}: {why}")),
        }
    }
    let place = place(&url);
    match request.send(body.to_string()) {
        Ok(answer) => judge(&place, answer.status().as_u16()),
        Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => Attempt::Never(format!(
            "{place}: this request can't be made; see its address and headers"
        )),
        Err(error) => Attempt::Again(format!("{place}: {error}")),
    }
}

fn judge(place: &str, status: u16) -> Attempt {
    match status {
        200..=299 => Attempt::Sent,
        408 | 425 | 429 | 500..=599 => Attempt::Again(format!("{place} answers {status}")),
        _ => Attempt::Never(format!("{place} answers {status}")),
    }
}

/// The whole address, which for Alertmanager may be only its beginning.
fn address(webhook: &Webhook) -> Result<Url, String> {
    let text = webhook.url.read()?;
    // What the parser would say quotes the address.
    let mut url = Url::parse(&text).map_err(|_| format!("{:?} holds no address", webhook.url))?;
    if webhook.format == WebhookFormat::Alertmanager && !url.path().ends_with(ALERTMANAGER_PATH) {
        let path = format!("{}{ALERTMANAGER_PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

/// Scheme, host and port: the path may be as secret as a password.
fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn agent(webhook: &Webhook) -> Result<ureq::Agent, String> {
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(limits::NOTIFY_TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(0);
    if let Some(path) = &webhook.ca {
        let bad = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| bad(&error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| bad(&error))?;
        let roots = RootCerts::new_with_certs(&[certificate]);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().new_agent())
}

#[cfg(test)]
mod tests;
