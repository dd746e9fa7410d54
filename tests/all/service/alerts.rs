//! Who is told: a real receiver of webhooks, a real exchange.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::process::{Site, until};
use super::traffic::{Traffic, broker, echoing, id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

/// A receiver of webhooks that answers 503 so many times first.
struct Hook {
    url: String,
    /// Head and body of each request.
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Hook {
    fn new(mut refuse: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks/hunter2", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                let length = head.to_lowercase();
                let Some(length) = length.split("content-length: ").nth(1) else { continue };
                let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let status = if refuse > 0 { "503 Busy" } else { "200 OK" };
                refuse = refuse.saturating_sub(1);
                if status.starts_with("200") {
                    told.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
                }
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, seen }
    }

    fn bodies(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_one_cause_are_told_once_to_a_webhook_and_an_exchange_and_resolved_when_quiet()
{
    let name = unique("told");
    let hook = Hook::new(2);
    let config = format!(
        "{}{}[[exchange]]\nname = \"{name}.told\"\nkind = \"fanout\"\n[[queue]]\nname = \
         \"{name}.people\"\nbind = [{{ exchange = \"{name}.told\" }}]\n[[notify]]\nname = \
         \"on-call\"\nclass = \"trap\"\nat_least = 5\nexchange = \"{name}.told\"\nwebhook = \
         {{ file = \"hook.url\" }}\nheaders = {{ Authorization = {{ file = \"hook.token\" }} }}\n\
         labels = {{ team = \"metering\" }}\nresolve_after = \"2s\"\n",
        broker(node()),
        echoing(&name, r#"call = "1s""#, "", "")
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    site.write("hook.url", format!("{}\n", hook.url).as_bytes());
    site.write("hook.token", b"Bearer hunter3\n");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    for n in 0..20 {
        traffic.send(&format!("{name}.in"), id(n), b"panic").await;
    }
    until("it is told to the webhook, and that it is over", || hook.bodies().len() == 2);
    let seen = hook.seen.lock().unwrap().clone();
    let (head, firing) = &seen[0];
    let head = head.to_lowercase();
    assert!(head.starts_with("post /hooks/hunter2 "), "{head}");
    assert!(head.contains("authorization: bearer hunter3\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    println!("{firing:#}");
    assert_eq!((&firing["version"], &firing["status"]), (&"4".into(), &"firing".into()));
    assert_eq!(firing["alerts"].as_array().unwrap().len(), 1);
    let labels = &firing["commonLabels"];
    assert_eq!((&labels["class"], &labels["team"]), (&"trap".into(), &"metering".into()));
    assert_eq!(labels["queue"], format!("{name}.in"));
    let count = firing["commonAnnotations"]["count"].as_str().unwrap();
    assert!((5..=20).contains(&count.parse::<u32>().unwrap()), "{count}");
    assert_eq!(seen[1].1["status"], "resolved");
    assert_eq!(seen[1].1["commonLabels"], *labels);

    let told = traffic.next(&format!("{name}.people")).await;
    let message: Value = serde_json::from_slice(&told.data).unwrap();
    assert_eq!((&message["status"], &message["rule"]), (&"firing".into(), &"on-call".into()));
    assert_eq!(told.properties.delivery_mode(), &Some(2));
    assert_eq!(told.routing_key.as_str(), "error.message_failures");
    let fingerprint = &message["report"]["fingerprint"];
    assert_eq!((fingerprint, &labels["fingerprint"]), (&labels["fingerprint"], fingerprint));
    let log = host.log();
    assert!(log.contains(&format!("fingerprint={fingerprint}")), "{log}");
    assert!(log.contains("answers 503") && !log.contains("hunter"), "{log}");
    let over = traffic.next(&format!("{name}.people")).await;
    let over: Value = serde_json::from_slice(&over.data).unwrap();
    assert_eq!(over["status"], "resolved");
    assert_eq!(host.metric("sluicegate_notifications_total", &["webhook", "retried"]), 2.0);
    assert_eq!(host.metric("sluicegate_notifications_total", &["webhook", "sent"]), 2.0);
    assert_eq!(host.metric("sluicegate_notifications_total", &["exchange", "sent"]), 2.0);
    let parts = [&*format!("queue=\"{name}.in\""), "class=\"trap\"", "then=\"dead_lettered\""];
    assert_eq!(host.metric("sluicegate_failures_total", &parts), 20.0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_stands_still_is_told_and_so_is_that_it_goes_on() {
    let name = unique("still");
    let hook = Hook::new(0);
    let config = format!(
        "{}{}[[notify]]\nname = \"still\"\nconditions = [\"pipeline_paused\"]\npipeline = \
         \"{name}\"\nafter = \"0s\"\nwebhook = {:?}\nformat = \"alertmanager\"\n",
        broker(node()),
        echoing(&name, r#"call = "1s""#, "", ""),
        hook.url
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    assert!(site.tell(&["pause", &name]).status.success());
    until("it is told", || hook.bodies().len() == 1);
    assert_eq!(host.metric("sluicegate_condition", &["pipeline_paused", &name]), 1.0);
    assert!(site.tell(&["resume", &name]).status.success());
    until("that it is over is told", || hook.bodies().len() == 2);
    assert_eq!(host.metric("sluicegate_condition", &["pipeline_paused", &name]), 0.0);
    let bodies = hook.bodies();
    println!("{:#}", bodies[0]);
    assert_eq!(bodies[0][0]["labels"]["alertname"], "SluicegatePipelinePaused");
    assert_eq!(bodies[0][0]["labels"]["pipeline"], name);
    assert_eq!(bodies[0][0]["labels"], bodies[1][0]["labels"]);
    assert!(bodies[1][0]["endsAt"].as_str() < bodies[0][0]["endsAt"].as_str());
    host.stop();
}
