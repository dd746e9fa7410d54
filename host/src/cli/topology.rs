//! `sluicegate topology`: what a config needs on its brokers, to read, to import, to permit, compared
//! with what is there; and what is there that it no longer needs.

mod orphans;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;

use super::{ConfigFile, exit};
use crate::broker::Broker as _;
use crate::broker::amqp::AmqpBroker;
use crate::config::{self, Broker, BrokerKind, Config, Credentials, Declare};
use crate::telemetry::logging::printable;
use crate::topology::{self, Finding};

/// Options of `topology`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Print definitions that `rabbitmqctl import_definitions` takes
    #[arg(long, conflicts_with_all = ["permissions", "verify"])]
    definitions: bool,
    /// Print the least permissions that the host's user needs
    #[arg(long, conflicts_with = "verify")]
    permissions: bool,
    /// Connect, create nothing, and compare with what is there
    #[arg(long)]
    verify: bool,
    /// Connect, and list delay queues that this config no longer uses
    #[arg(long, conflicts_with_all = ["definitions", "permissions", "verify"])]
    orphans: bool,
    /// Delete those of them that are empty and classic, as the broker itself sees it
    #[arg(long, requires = "orphans")]
    delete_empty: bool,
    /// Only this broker of the config
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When `--broker` names none of the config's, or the answer can't be printed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some(config) = read(&args.config.path) else { return Ok(ExitCode::from(exit::CONFIG)) };
    let names = chosen(&config, args.broker.as_deref())?;
    if args.verify {
        return verify(&config, &names).await;
    }
    if args.orphans {
        let mut good = true;
        for name in &names {
            let (text, done) = orphans::tell(&config, name, args.delete_empty).await;
            std::io::stdout().lock().write_all(text.as_bytes())?;
            good &= done;
        }
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) });
    }
    let text = if args.definitions {
        definitions(&config, &names)?
    } else if args.permissions {
        names.iter().map(|name| permissions(&config, name)).collect::<Vec<_>>().join("\n")
    } else {
        overview(&config, &names)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The config, or its problems on standard error.
fn read(file: &std::path::Path) -> Option<Config> {
    let parsed = config::load(file).map_err(|problems| (problems, String::new()));
    let parsed = parsed.and_then(|source| {
        config::parse(&source, file).map_err(|problems| (problems, source.clone()))
    });
    match parsed {
        Ok((config, _warnings)) => Some(config),
        Err((problems, source)) => {
            eprint!("{}", config::render_all(&problems, &source, false));
            None
        }
    }
}

fn chosen(config: &Config, wanted: Option<&str>) -> anyhow::Result<Vec<String>> {
    let all: Vec<String> = config.brokers.keys().cloned().collect();
    match wanted {
        None => Ok(all),
        Some(name) if config.brokers.contains_key(name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("no broker '{}' in this config: {}", printable(name), all.join(", ")),
    }
}

fn definitions(config: &Config, names: &[String]) -> anyhow::Result<String> {
    let [name] = names else {
        bail!("definitions are for one broker: choose with --broker one of {}", names.join(", "))
    };
    Ok(serde_json::to_string_pretty(&topology::definitions(config, name))? + "\n")
}

fn overview(config: &Config, names: &[String]) -> String {
    let trees: Vec<String> = names.iter().map(|name| tree::render(config, name)).collect();
    let findings = topology::findings(config, &topology::stated_versions(config));
    trees.join("\n") + &told(&findings)
}

/// Findings as lines, after an empty one.
fn told(findings: &[Finding]) -> String {
    let mut text = if findings.is_empty() { String::new() } else { "\n".to_owned() };
    for finding in findings {
        let _infallible = writeln!(text, "{}", printable(&finding.to_string()));
    }
    text
}

/// The patterns for the config's own `declare`, ready to run, and those for the others beside it.
fn permissions(config: &Config, name: &str) -> String {
    let Some(broker) = config.brokers.get(name) else { return String::new() };
    let mut text = format!("# broker {name}\n");
    for (mode, word) in
        [(Declare::Create, "create"), (Declare::Verify, "verify"), (Declare::None, "none")]
    {
        let own = mode == broker.declare;
        let permissions = topology::permissions(config, name, mode);
        let command = format!(
            "rabbitmqctl set_permissions -p {} {} {} {} {}",
            quoted(&topology::vhost(broker)),
            quoted(&user(broker)),
            quoted(&permissions.configure),
            quoted(&permissions.write),
            quoted(&permissions.read)
        );
        let _infallible = if own {
            writeln!(text, "# declare = \"{word}\", as this config has it\n{command}")
        } else {
            writeln!(text, "# declare = \"{word}\"\n# {command}")
        };
    }
    text
}

/// The host's user, where the config itself tells; otherwise a word to replace.
fn user(broker: &Broker) -> String {
    match &broker.kind {
        BrokerKind::Amqp(amqp) => match &amqp.credentials {
            Credentials::Default => "guest".to_owned(),
            Credentials::Inline(login) => login.user.clone(),
            Credentials::Kept(_) => "USER".to_owned(),
        },
        BrokerKind::Mqtt(_) | BrokerKind::Embedded => "USER".to_owned(),
    }
}

/// One word to a POSIX shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

async fn verify(config: &Config, names: &[String]) -> anyhow::Result<ExitCode> {
    let plans = topology::plan(config);
    let mut versions = BTreeMap::new();
    let mut good = true;
    for name in names {
        let (Some(broker), Some(plan)) = (config.brokers.get(name), plans.get(name)) else {
            continue;
        };
        let BrokerKind::Amqp(amqp) = &broker.kind else {
            println!(
                "broker {name} has no objects that outlast their users: there is nothing to compare"
            );
            continue;
        };
        let connection = AmqpBroker::new(name, amqp.clone());
        let settings = Broker { declare: Declare::Verify, ..broker.clone() };
        match topology::prepare(&*connection, &settings, plan).await {
            Ok(applied) => {
                println!("broker {name}: {} as wanted", applied.confirmed);
                for what in &applied.unverified {
                    println!("  unverified: {}", printable(what));
                }
            }
            Err(errors) => {
                good = false;
                println!("broker {name}: not as wanted");
                for error in &errors {
                    println!("  {}", printable(&error.to_string()));
                }
            }
        }
        let version = connection.server().await.ok().map(|server| server.version);
        versions.insert(name.clone(), version);
        connection.close().await;
    }
    let findings = topology::findings(config, &versions);
    print!("{}", told(&findings));
    good &= findings.iter().all(|finding| finding.severity != topology::Severity::Error);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILURE) })
}
