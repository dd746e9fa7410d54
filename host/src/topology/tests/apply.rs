//! Applying, on the embedded broker; what it can't do, a forbidding one in front of it does.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::broker::embedded::Embedded;
use crate::broker::{
    Broker as _, BrokerError, ConsumeRequest, Consumer, Declared, Depth, LinkState, Publisher,
    Server,
};

/// The embedded broker for a user without the right to configure, who keeps a list of tries.
struct Forbidding {
    inner: Arc<Embedded>,
    tried: Mutex<Vec<String>>,
}

#[async_trait]
impl crate::broker::Broker for Forbidding {
    async fn server(&self) -> Result<Server, BrokerError> {
        self.inner.server().await
    }
    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError> {
        self.tried.lock().unwrap().push(object.to_string());
        Err(BrokerError::Forbidden("access refused".to_owned()))
    }
    async fn exists(&self, object: &Declaration) -> Result<bool, BrokerError> {
        self.inner.exists(object).await
    }
    async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        self.inner.depth(queue).await
    }
    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        self.inner.consume(request).await
    }
    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        self.inner.publisher().await
    }
    fn link(&self) -> LinkState {
        self.inner.link()
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test]
async fn creating_twice_confirms_everything_twice() {
    let (broker, plan) = (Embedded::new(), main_plan(&readings()));
    let first = apply(&*broker, &plan, Declare::Create).await.unwrap();
    assert_eq!(first, Applied { confirmed: plan.shared.len(), unverified: Vec::new() });
    assert_eq!(apply(&*broker, &plan, Declare::Create).await.unwrap(), first);
}

#[tokio::test]
async fn creating_tells_every_difference_at_once() {
    let broker = Embedded::new();
    apply(&*broker, &main_plan(&readings()), Declare::Create).await.unwrap();
    let mut other = readings();
    other.exchanges[1].kind = ExchangeKind::Topic;
    other.queues[1].max_length = Some(5);
    let errors = apply(&*broker, &main_plan(&other), Declare::Create).await.unwrap_err();
    let arguments: Vec<_> = errors
        .iter()
        .map(|error| match error {
            BrokerError::Mismatch { object, argument, .. } => (object.as_str(), argument.as_str()),
            other => panic!("{other}"),
        })
        .collect();
    let expected = [("exchange 'meters.lost'", "type"), ("queue 'readings.dead'", "x-max-length")];
    assert_eq!(arguments, expected);
}

#[tokio::test]
async fn verifying_creates_nothing_and_names_all_that_is_missing_with_the_remedy() {
    let (broker, plan) = (Embedded::new(), main_plan(&readings()));
    let errors = apply(&*broker, &plan, Declare::Verify).await.unwrap_err();
    let objects = plan.shared.iter().filter(|d| !matches!(d, Declaration::Binding(_)));
    assert_eq!(errors.len(), objects.clone().count());
    assert!(errors[0].to_string().contains("--definitions"), "{}", errors[0]);
    for object in objects {
        assert!(!broker.exists(object).await.unwrap(), "{object:?}");
    }
}

#[tokio::test]
async fn verifying_over_amqp_alone_leaves_bindings_unverified() {
    let (broker, plan) = (Embedded::new(), main_plan(&readings()));
    apply(&*broker, &plan, Declare::Create).await.unwrap();
    let applied = apply(&*broker, &plan, Declare::Verify).await.unwrap();
    assert_eq!(applied.unverified.len(), 6);
    assert!(applied.unverified.iter().all(|what| what.starts_with("binding of ")));
}

#[tokio::test]
async fn a_queue_without_a_delivery_limit_will_do_when_verifying_a_default() {
    let broker = Embedded::new();
    let mut plan = main_plan(&readings());
    let without: Vec<_> = plan
        .shared
        .iter()
        .map(|object| plan.without_default_limit(object).unwrap_or_else(|| object.clone()))
        .collect();
    let there = Plan { shared: without, ..Plan::default() };
    apply(&*broker, &there, Declare::Create).await.unwrap();
    let applied = apply(&*broker, &plan, Declare::Verify).await.unwrap();
    assert!(applied.unverified.iter().any(|what| what.contains("has no x-delivery-limit")));

    plan.default_delivery_limit.clear();
    let errors = apply(&*broker, &plan, Declare::Verify).await.unwrap_err();
    assert!(errors[0].to_string().contains("x-delivery-limit"), "{}", errors[0]);
}

#[tokio::test]
async fn a_user_who_may_not_configure_leaves_arguments_unverified() {
    let plan = main_plan(&readings());
    let inner = Embedded::new();
    apply(&*inner, &plan, Declare::Create).await.unwrap();
    let broker = Forbidding { inner, tried: Mutex::default() };
    let applied = apply(&broker, &plan, Declare::Verify).await.unwrap();
    assert_eq!(applied.confirmed, 0);
    assert_eq!(applied.unverified.len(), plan.shared.len());
}

#[tokio::test]
async fn an_unreachable_broker_is_told_once() {
    let broker = Embedded::new();
    broker.set_unreachable(true);
    let errors = apply(&*broker, &main_plan(&readings()), Declare::Create).await.unwrap_err();
    assert!(matches!(errors.as_slice(), [BrokerError::Unreachable(_)]), "{errors:?}");
}

#[tokio::test]
async fn declaring_nothing_asks_nothing() {
    let broker = Forbidding { inner: Embedded::new(), tried: Mutex::default() };
    let applied = apply(&broker, &main_plan(&readings()), Declare::None).await.unwrap();
    assert_eq!(applied, Applied::default());
    assert!(broker.tried.lock().unwrap().is_empty());
}
