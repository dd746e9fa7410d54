//! Priorities: what is urgent overtakes.

use super::process::Site;
use super::traffic::{Traffic, broker, correlation, echoing, id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

const ROUTINE: usize = 3000;
const PREFETCH: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_overtakes_all_routine_messages_but_those_already_in_hand() {
    let name = unique("priority");
    let pipeline = format!("prefetch = {PREFETCH}\nbatch = {{ messages = 16 }}");
    let config = echoing(&name, r#"call = "5s""#, &pipeline, "max_priority = 10");
    // With two, one may publish what came later while the other has yet to run what is urgent.
    let site = Site::with(&format!("{}{config}", broker(node())), "shards = 1");
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    let traffic = Traffic::on(node()).await;
    assert!(site.tell(&["pause", &name]).status.success());
    traffic.fill(&input, ROUTINE, b"slow").await;
    assert!(site.tell(&["resume", &name]).status.success());
    traffic.await_at_least(&out, 200).await;
    traffic.send(&input, id("fault").with_priority(9), b"echo").await;
    // What is out by now was out before the fault, or was in hand when it arrived.
    let before = traffic.raw.depth(&out).await as usize;
    traffic.await_at_least(&out, u32::try_from(ROUTINE + 1).unwrap()).await;
    host.stop();
    let order: Vec<String> = traffic.take_all(&out).await.iter().map(correlation).collect();
    assert_eq!(order.len(), ROUTINE + 1);
    let place = order.iter().position(|id| id == "fault").unwrap();
    assert!(before + PREFETCH < ROUTINE / 2, "the consumer wasn't saturated: {before} were out");
    assert!(place <= before + PREFETCH, "place {place}, {before} were out when it was published");
}
