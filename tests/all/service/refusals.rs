//! What keeps a host from starting, or from being ready: each says where, and what to do.

use std::net::TcpListener;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use super::process::Site;
use super::traffic::{Traffic, broker, echoing};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::{HOSTILE, OTHER_WORLD};

const EMBEDDED: &str = "[broker.main]\nurl = \"embedded:\"\n";

fn embedded(limits: &str) -> String {
    format!("{EMBEDDED}{}", echoing("p", limits, "", ""))
}

/// The host ends with that code, having said all of that.
fn refused(site: &Site, code: i32, parts: &[&str]) {
    let (ended, told) = site.refused();
    assert_eq!(ended, code, "{told}");
    for part in parts {
        assert!(told.contains(part), "no {part:?} in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn a_wrong_config_is_told_in_full_with_its_lines() {
    let config = embedded("memori = \"1MiB\"").replace("stages = [", "stages = [\"absent\", ");
    refused(
        &Site::new(&config),
        78,
        &["sluicegate.toml:", "memori", "did you mean", "absent", "error"],
    );
}

#[test]
fn a_config_that_isnt_there_is_told_by_its_path() {
    let site = Site::new(EMBEDDED);
    std::fs::remove_file(site.path("sluicegate.toml")).unwrap();
    refused(&site, 78, &["sluicegate.toml"]);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let site = Site::with(&embedded(""), &format!("http = \"{address}\""));
    site.write("hostile.wasm", HOSTILE);
    refused(&site, 1, &["service.http", &address]);
}

#[test]
fn a_state_folder_and_a_control_socket_that_are_taken_are_told() {
    let site = Site::new(&embedded(""));
    site.write("hostile.wasm", HOSTILE);
    let first = site.run();
    let config = std::fs::read_to_string(site.path("sluicegate.toml")).unwrap();
    refused(&site, 1, &["another host uses the state folder", "service.state_dir"]);
    let config = config.replace("state_dir = \"state\"", "state_dir = \"other\"");
    site.write("sluicegate.toml", config.as_bytes());
    refused(&site, 1, &["control.sock"]);
    // The first one still answers there.
    assert!(site.tell(&["status"]).status.success());
    first.stop();
}

#[test]
fn a_control_socket_that_a_killed_host_left_behind_is_taken_over() {
    let site = Site::new(&embedded(""));
    site.write("hostile.wasm", HOSTILE);
    site.run().kill9();
    assert!(site.path("control.sock").exists());
    let host = site.run();
    assert!(site.tell(&["status"]).status.success());
    host.stop();
}

#[test]
fn plugins_that_cant_be_loaded_are_told_all_at_once() {
    let more = "[[plugin]]\nname = \"cut\"\nfile = \"cut.wasm\"\n\
                [[plugin]]\nname = \"other\"\nfile = \"other.wasm\"\n\
                [[plugin]]\nname = \"missing\"\nfile = \"nowhere.wasm\"\n\
                [[plugin]]\nname = \"strict\"\nfile = \"builtin:meter-anomaly\"\n\
                config = { threshold = \"high\" }\n";
    let stages = r#"stages = ["hostile", "cut", "other", "missing", "strict"]"#;
    let config = format!("{}{more}", embedded("").replace("stages = [\"hostile\"]", stages));
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    site.write("cut.wasm", &HOSTILE[..HOSTILE.len() / 2]);
    site.write("other.wasm", OTHER_WORLD);
    let parts = ["'cut'", "'other'", "'missing'", "nowhere.wasm", "'strict'", "threshold"];
    refused(&site, 1, &parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_by_readiness_and_never_printed() {
    let name = unique("password");
    let config = broker(node()).replace("guest:guest@", "guest:hunter2@");
    let site = Site::new(&format!("{config}{}", echoing(&name, "", "", "")));
    site.write("hostile.wasm", HOSTILE);
    let mut host = site.start();
    let reasons = host.await_unready("refused");
    assert_eq!(host.get("/live").0, 200);
    let log = host.said("trying again");
    let status = format!("{:?}", site.tell(&["status", "--json"]));
    for said in [&reasons, &log, &status] {
        assert!(!said.contains("hunter2"), "{said}");
    }
    host.signal("TERM");
    assert_eq!(host.end(), 0, "{}", host.log());
    assert!(!host.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_declared_otherwise_is_named_with_argument_and_both_values() {
    let name = unique("otherwise");
    let traffic = Traffic::on(node()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-priority".into(), AMQPValue::LongLongInt(3));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    let dead = format!("{name}.dead");
    arguments
        .insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.as_str().into()));
    let queue = format!("{name}.in");
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    traffic.raw.channel.queue_declare(queue.as_str().into(), options, arguments).await.unwrap();
    let config = echoing(&name, "", "", "max_priority = 5");
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    let host = site.start();
    let reasons = host.await_unready(&queue);
    let log = host.said("trying again");
    for said in [&reasons, &log] {
        for part in ["x-max-priority", "3", "5", "delete"] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
    // As soon as the operator has deleted it, all is well.
    let delete = lapin::options::QueueDeleteOptions::default();
    traffic.raw.channel.queue_delete(queue.as_str().into(), delete).await.unwrap();
    host.await_ready();
    host.stop();
}
