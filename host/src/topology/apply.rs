//! Makes a plan true on its broker, or compares the two: every problem at once, not the first.

use super::inventory::Inventory;
use super::{Plan, inventory, queue};
use crate::broker::{Broker, BrokerError, Declaration};
use crate::config::{self, BrokerKind, Declare};

/// What applying a plan came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects that are there as wanted.
    pub confirmed: usize,
    /// What couldn't be compared, with the reason; empty unless verifying.
    pub unverified: Vec<String>,
}

/// Applies a plan as the broker's section of the config says, with the management API or the
/// definitions export that it names, where it verifies.
///
/// # Errors
/// Everything that is missing or different.
pub async fn prepare(
    broker: &dyn Broker,
    settings: &config::Broker,
    plan: &Plan,
) -> Result<Applied, Vec<BrokerError>> {
    let BrokerKind::Amqp(amqp) = &settings.kind else {
        return apply(broker, plan, settings.declare).await;
    };
    if settings.declare != Declare::Verify {
        return apply(broker, plan, settings.declare).await;
    }
    match inventory::read(amqp, &super::vhost(settings)).await {
        Ok(inventory) => verify(broker, plan, inventory.as_ref()).await,
        Err(why) => {
            let mut applied = verify(broker, plan, None).await?;
            applied.unverified.insert(0, why);
            Ok(applied)
        }
    }
}

/// Applies a plan over AMQP alone. `Create` declares every shared object and may be repeated;
/// `Verify` creates nothing, compares what is there and lists what AMQP can't show; `None` does
/// nothing.
///
/// # Errors
/// Everything that is missing or different; only the first where the broker can't be reached.
pub async fn apply(
    broker: &dyn Broker,
    plan: &Plan,
    mode: Declare,
) -> Result<Applied, Vec<BrokerError>> {
    match mode {
        Declare::Create => create(broker, plan).await,
        Declare::Verify => verify(broker, plan, None).await,
        Declare::None => Ok(Applied::default()),
    }
}

async fn create(broker: &dyn Broker, plan: &Plan) -> Result<Applied, Vec<BrokerError>> {
    let mut outcome = Outcome::default();
    for object in &plan.shared {
        let declared = broker.declare(object).await.map(|_| Compared::Same);
        if outcome.note(declared).is_break() {
            break;
        }
    }
    outcome.finish()
}

async fn verify(
    broker: &dyn Broker,
    plan: &Plan,
    inventory: Option<&Inventory>,
) -> Result<Applied, Vec<BrokerError>> {
    let mut outcome = Outcome::default();
    for object in &plan.shared {
        let compared = match object {
            Declaration::Binding(_) => compare_binding(object, inventory),
            Declaration::Exchange(_) | Declaration::Queue(_) => {
                compare(broker, plan, object, inventory).await
            }
        };
        if outcome.note(compared).is_break() {
            return outcome.finish();
        }
    }
    for name in &plan.dead_letters_by_policy {
        let _ = outcome.note(compare_policy(name, inventory));
    }
    outcome.finish()
}

/// Asks whether the object is there before it declares it again to compare, so that nothing is
/// created unless somebody deletes it in between.
async fn compare(
    broker: &dyn Broker,
    plan: &Plan,
    object: &Declaration,
    inventory: Option<&Inventory>,
) -> Result<Compared, BrokerError> {
    if !broker.exists(object).await? {
        return Err(missing(object));
    }
    match broker.declare(object).await {
        Ok(_) => Ok(Compared::Same),
        Err(BrokerError::Forbidden(why)) => match inventory {
            Some(inventory) => inventory.compare(object).map(|()| Compared::Same),
            None => Ok(Compared::Unverified(format!(
                "{} is there, but its arguments can't be compared without the right to configure \
                 it ({why}): name the management API or a definitions export in the config",
                object
            ))),
        },
        Err(mismatch) => match plan.without_default_limit(object) {
            Some(object) if broker.declare(&object).await.is_ok() => {
                Ok(Compared::Unverified(format!(
                    "{} has no {}: the broker's own applies, 20 from RabbitMQ 4.0 on and none before",
                    object,
                    queue::DELIVERY_LIMIT
                )))
            }
            _ => Err(mismatch),
        },
    }
}

fn compare_binding(
    binding: &Declaration,
    inventory: Option<&Inventory>,
) -> Result<Compared, BrokerError> {
    match inventory {
        Some(inventory) => inventory.compare(binding).map(|()| Compared::Same),
        None => Ok(Compared::Unverified(format!(
            "{}: AMQP shows no bindings; name the management API or a definitions export in the \
             config",
            binding
        ))),
    }
}

fn compare_policy(queue: &str, inventory: Option<&Inventory>) -> Result<Compared, BrokerError> {
    match inventory.and_then(|inventory| inventory.dead_letters_by_policy(queue)) {
        Some(true) => Ok(Compared::Same),
        Some(false) => Err(BrokerError::NotFound(format!(
            "a policy that gives queue '{queue}' a dead-letter-exchange: set one with \
             `rabbitmqctl set_policy`, or name the exchange under dead_letter in the config"
        ))),
        None => Ok(Compared::Unverified(format!(
            "the policy that gives queue '{queue}' its dead-letter exchange: only the management \
             API shows it"
        ))),
    }
}

/// What is missing, and what to do about it where the host may create nothing.
pub(super) fn missing(object: &Declaration) -> BrokerError {
    BrokerError::NotFound(format!(
        "{}: with declare = \"verify\" the host creates nothing; import what `sluicegate topology \
         --definitions` prints, or set declare = \"create\"",
        object
    ))
}

/// What one comparison came to.
enum Compared {
    Same,
    Unverified(String),
}

/// What all of them came to.
#[derive(Default)]
struct Outcome {
    applied: Applied,
    errors: Vec<BrokerError>,
}

impl Outcome {
    /// Breaks where nothing that follows could end otherwise.
    fn note(&mut self, compared: Result<Compared, BrokerError>) -> std::ops::ControlFlow<()> {
        match compared {
            Ok(Compared::Same) => self.applied.confirmed += 1,
            Ok(Compared::Unverified(what)) => self.applied.unverified.push(what),
            Err(error) => {
                let lost = matches!(error, BrokerError::Unreachable(_) | BrokerError::Refused(_));
                self.errors.push(error);
                if lost {
                    return std::ops::ControlFlow::Break(());
                }
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn finish(self) -> Result<Applied, Vec<BrokerError>> {
        if self.errors.is_empty() { Ok(self.applied) } else { Err(self.errors) }
    }
}
