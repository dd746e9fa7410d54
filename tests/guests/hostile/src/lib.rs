//! A plugin that does what the message says: fails in one way, breaks the contract in another.
//!
//! Written against the bare WIT, since the SDK wouldn't let it. A body is a command; any other body is
//! answered with `done`. The config is a command as well.

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "plugin" });

mod answer;
mod attack;

use answer::Answer;
use exports::sluicegate::plugin::guest::{Batch, Decisions, Description, Guest};

/// Tests write another command over this one, in the compiled file: `describe` has no argument.
static DESCRIBE: [u8; 16] = *b"DESCRIBE=calm   ";

const NONE: u32 = u32::MAX;

/// And over this one: it runs before anything else does.
static START: [u8; 16] = *b"START=calm      ";

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = {
    extern "C" fn start() {
        let command = std::hint::black_box(&START);
        attack::run(std::str::from_utf8(&command[6..]).unwrap_or_default().trim());
    }
    start
};

#[global_allocator]
static ALLOCATOR: attack::Allocator = attack::Allocator;

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Description {
        let command = std::hint::black_box(&DESCRIBE);
        attack::run(std::str::from_utf8(&command[9..]).unwrap_or_default().trim());
        Description {
            name: "hostile".to_owned(),
            version: "1.2.3".to_owned(),
            sdk: "none".to_owned(),
            state_version: Some(1),
        }
    }

    fn configure(config: Vec<u8>) -> Result<(), String> {
        let command = String::from_utf8_lossy(&config).into_owned();
        if command == "refuse" {
            return Err("threshold: 4.5 expected, not \"high\"".to_owned());
        }
        attack::run(&command);
        Ok(())
    }

    fn process(batch: Batch) -> Decisions {
        let mut answer = Answer::new(&batch);
        for at in 0..answer.messages {
            let record = &batch.index[(batch.index[1] + at * batch.index[3]) as usize..];
            let span = |word: usize| {
                let (start, length) = (record[word] as usize, record[word + 1] as usize);
                &batch.arena[start..start + length]
            };
            let body = String::from_utf8_lossy(span(0)).into_owned();
            if let Some(wrong) = body.strip_prefix("answer: ") {
                return attack::malformed(answer, wrong);
            }
            match &*body {
                "echo" => answer.echo(at, span(2), span(4), span(8)),
                "nan" => answer.next(at, attack::nan().as_bytes()),
                "relaxed simd" => answer.next(at, attack::relaxed_simd().as_bytes()),
                "counter" | "random" | "map order" => {
                    answer.next(at, attack::impure(&body).as_bytes());
                }
                "large answer" => answer.large(at),
                "look" => answer.next(at, attack::look(batch.now_us).as_bytes()),
                "count" => answer.count(at, record[10], &batch),
                "echo at 2" | "echo at 3" if record[11] == u32::from(body.as_bytes()[8] - b'0') => {
                    answer.echo(at, span(2), span(4), span(8));
                }
                "retry" | "echo at 2" | "echo at 3" => {
                    let seen = [span(2), span(4), span(8)];
                    answer.retry(at, record[11], batch.now_us, seen);
                }
                slow if slow.starts_with("slow") => {
                    attack::work();
                    answer.echo(at, span(2), span(4), span(8));
                }
                command => {
                    sluicegate::plugin::log::write(
                        sluicegate::plugin::log::Level::Debug,
                        at,
                        command,
                    );
                    attack::run(command);
                }
            }
        }
        answer.finish()
    }

    fn migrate(_state_version: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
        attack::run(&String::from_utf8_lossy(&state));
        Ok(state)
    }
}

export!(Hostile);
