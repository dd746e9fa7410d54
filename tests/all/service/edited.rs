//! An author's edit on its way to a running host, by `plugin dev`.

use lapin::BasicProperties;

use super::process::Site;
use super::traffic::{Traffic, broker, id};
use crate::authors::{Desk, Dev, target};
use crate::rabbit::{node, unique};

/// A pipeline of the plugin that an author has just made.
fn config(name: &str) -> String {
    format!(
        r##"{}
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "a-live-edit"
file = "served.wasm"
config = {{ limit = 60.0, readings = 2 }}
[[queue]]
name = "{name}.in"
dead_letter = {{ queue = "{name}.dead" }}
[[exchange]]
name = "{name}.alerts"
kind = "topic"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.alerts", key = "#" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
key = {{ field = "sensor" }}
stages = ["a-live-edit"]
outputs.alerts = {{ exchange = "{name}.alerts" }}
"##,
        broker(node())
    )
}

/// Two hot readings of a sensor.
async fn heat(traffic: &Traffic, name: &str, sensor: &str) {
    for n in 0..2 {
        let body = format!("{{\"sensor\":\"{sensor}\",\"celsius\":70}}");
        let json = |it: BasicProperties| it.with_content_type("application/json".into());
        let properties = json(id(format!("{sensor}-{n}")));
        traffic.send(&format!("{name}.in"), properties, body.as_bytes()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_goes_live_on_a_running_host_and_what_does_not_build_leaves_the_old_one_serving() {
    let name = unique("edited");
    let mut desk = Desk::new();
    desk.enter("a-live-edit");
    desk.good("sluicegate plugin build --offline");
    let site = Site::new(&config(&name));
    let built = target().join("wasm32-wasip2/plugin/a_live_edit.wasm");
    site.write("served.wasm", &std::fs::read(built).unwrap());
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (served, socket) = (site.path("served.wasm"), site.path("control.sock"));
    let line = format!(
        "sluicegate plugin dev --offline --host --to {} --socket {}",
        served.display(),
        socket.display()
    );
    let dev = Dev::start(&desk, &line);
    dev.says("live as 'a-live-edit'");
    heat(&traffic, &name, "s-1").await;
    dev.says("emits   alerts hot.s-1");

    desk.edit("src/lib.rs", "hot.{}", "hot.{");
    dev.says("not built");
    heat(&traffic, &name, "s-2").await;
    dev.says("emits   alerts hot.s-2");

    desk.edit("src/lib.rs", "hot.{", "burning.{}");
    let told = dev.says("after the build");
    println!("{}", told.lines().last().unwrap_or_default());
    heat(&traffic, &name, "s-3").await;
    // It remembers: what is known of a sensor is the host's.
    dev.says("emits   alerts burning.s-3");
    traffic.raw.await_depth(&format!("{name}.out"), 3).await;
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);

    // What the host won't have is told, and the one before serves on.
    desk.edit("src/lib.rs", "if self.readings == 0", "if self.readings == 2");
    let told = dev.says("serves on");
    assert!(told.contains("not live") && told.contains("readings"), "{told}");
    heat(&traffic, &name, "s-4").await;
    dev.says("emits   alerts burning.s-4");
    host.stop();
}
