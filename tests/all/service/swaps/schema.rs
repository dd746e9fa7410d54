//! State that goes to another schema and back under load, with a host that is killed on the way.

use sluicegate_tests::guests::{TALLY, TALLY_NEXT};

use super::super::process::{Host, Site, until};
use super::super::traffic::Traffic;
use super::load::Load;
use super::{save, site};
use crate::rabbit::{node, unique};

/// Long: what happens meanwhile happens in a probation.
const LONG: &str = r#"watch = false, trial = { messages = 100, time = "2s" }, probation = { messages = 1000000, time = "1h" }"#;

/// Has the next version serve, in a probation without end, and kills the host once it has counted.
fn kill_between_schemas(site: &Site, host: Host, load: &Load) {
    save(site, TALLY_NEXT);
    let before = load.counted_by(2);
    std::thread::scope(|scope| {
        // It ends with the host.
        scope.spawn(|| site.tell(&["reload", "tally"]));
        host.said("version 0.1.0 serves");
        until("the next version counts", || load.counted_by(2) > before + 100);
        host.kill9();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_between_two_schemas_loses_no_update_whichever_it_starts_with() {
    let name = unique("schemas");
    let site = site(&name, LONG);
    let mut host = site.run();
    let load = Load::start(&name, 200).await;
    load.await_lines(200).await;
    // Started with the next one, with the first one, and with the first one after that again.
    for (wasm, version) in [(TALLY_NEXT, 2), (TALLY, 1), (TALLY, 1)] {
        if version == 1 {
            save(&site, TALLY);
            host.kill9();
            host = site.run();
            load.await_lines(200).await;
        }
        tokio::task::block_in_place(|| kill_between_schemas(&site, host, &load));
        save(&site, wasm);
        host = site.run();
        let before = load.counted_by(version);
        tokio::task::block_in_place(|| {
            until("it counts on", || load.counted_by(version) > before + 200);
        });
    }
    load.end().await.assert_counted();
    let dead = Traffic::on(node()).await.raw.depth(&format!("{name}.dead")).await;
    assert_eq!(dead, 0, "every state could be read");
    host.stop();
}
