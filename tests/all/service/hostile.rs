//! Plugins that misbehave among messages that don't.

use super::process::{Site, until};
use super::traffic::{Traffic, broker, death, echoing, id, message_id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::{FILES, HOSTILE};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_messages_that_harm_are_dead_lettered_each_with_its_reason() {
    let name = unique("hostile");
    let limits = r#"call = "100ms", memory = "16MiB""#;
    let pipeline = "[pipeline.retry.attempts]\ndeadline = 1";
    let site = Site::new(&format!("{}{}", broker(node()), echoing(&name, limits, pipeline, "")));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    // Held back, so that all of them come in the same batches.
    assert!(site.tell(&["pause", &name]).status.success());
    let traffic = Traffic::on(node()).await;
    let culprits = [
        ("trap", "trap", ""),
        ("panic", "trap", "boom, as told"),
        ("loop", "deadline", "100"),
        ("hog", "memory", "16"),
        ("sleep", "trap", "a plugin can't wait"),
    ];
    let input = format!("{name}.in");
    for n in 0..60 {
        traffic.send(&input, id(format!("good-{n}")), b"echo").await;
        if let Some((command, ..)) = culprits.get(n / 10).filter(|_| n % 10 == 5) {
            traffic.send(&input, id(command), command.as_bytes()).await;
        }
    }
    assert!(site.tell(&["resume", &name]).status.success());
    let (out, dead) = (format!("{name}.out"), format!("{name}.dead"));
    traffic.raw.await_depth(&out, 60).await;
    traffic.raw.await_depth(&dead, 5).await;
    host.stop();
    let outputs = traffic.inputs(&out).await;
    assert_eq!(outputs.len(), 60);
    assert!(outputs.iter().all(|(id, times)| id.starts_with("good-") && *times == 1));
    let letters = traffic.take_all(&dead).await;
    assert!(letters.iter().all(|letter| death(letter) == "rejected"));
    let mut ids: Vec<String> = letters.iter().map(message_id).collect();
    ids.sort();
    assert_eq!(ids, ["hog", "loop", "panic", "sleep", "trap"]);
    let reports = traffic.reports(&format!("{name}.failures")).await;
    assert_eq!(reports.len(), 5);
    for (command, class, text) in culprits {
        let report = &reports[command];
        assert_eq!(report["class"], class, "{report}");
        assert!(report["text"].as_str().unwrap().contains(text), "{report}");
        assert_eq!(report["plugin"], "hostile");
        assert_eq!(report["plugin_digest"].as_str().unwrap().len(), 64, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_that_trap_or_eat_memory_cost_the_host_none_of_its_own() {
    let name = unique("hungry");
    let limits = r#"call = "1s", memory = "16MiB""#;
    let site = Site::new(&format!("{}{}", broker(node()), echoing(&name, limits, "", "")));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, dead) = (format!("{name}.in"), format!("{name}.dead"));
    let rounds = async |count: usize| {
        traffic.fill(&input, count, b"hog").await;
        traffic.fill(&input, count, b"trap").await;
    };
    let resident = || {
        host.metric("sluicegate_process_resident_memory_bytes", &[])
            .max(host.metric("process_resident_memory_bytes", &[]))
    };
    rounds(50).await;
    traffic.raw.await_depth(&dead, 100).await;
    let before = resident();
    assert!(before > 0.0);
    rounds(500).await;
    traffic.raw.await_depth(&dead, 1100).await;
    until("the memory of instances that are gone is given back", || {
        resident() - before < f64::from(16 << 20)
    });
    host.stop();
}

#[test]
fn a_plugin_that_opens_a_file_is_refused_by_name() {
    let config = "[broker.main]\nurl = \"embedded:\"\n[[plugin]]\nname = \"files\"\nfile = \"files.wasm\"\n\
         [[queue]]\nname = \"in\"\ndead_letter = { queue = \"dead\" }\n\
         [[pipeline]]\nname = \"p\"\nqueue = \"in\"\nstages = [\"files\"]\n";
    let site = Site::new(config);
    site.write("files.wasm", FILES);
    let (code, told) = site.refused();
    assert_ne!(code, 0);
    assert!(told.contains("files") && told.contains("wasi:filesystem"), "{told}");
}
