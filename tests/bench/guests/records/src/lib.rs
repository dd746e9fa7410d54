//! What the benchmarks' plugins would be over a contract of records and strings.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use bench_logic::{Encoding, Reading, Usual, told};

/// Without a random seed, which a component without WASI can't have.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

wit_bindgen::generate!({ world: "records", path: "wit" });

struct Records;

#[derive(Clone, Copy)]
enum Logic {
    Pass,
    Check(Encoding),
    Route,
    Anomaly,
}

thread_local! {
    static LOGIC: Cell<Logic> = const { Cell::new(Logic::Pass) };
}

impl Guest for Records {
    fn configure(logic: String) {
        LOGIC.set(match logic.as_str() {
            "check-json" => Logic::Check(Encoding::Json),
            "check-message-pack" => Logic::Check(Encoding::MessagePack),
            "route" => Logic::Route,
            "anomaly" => Logic::Anomaly,
            _ => Logic::Pass,
        });
    }

    fn process(
        messages: Vec<Message>,
        states: Vec<State>,
    ) -> (Vec<Decision>, Vec<Option<Vec<u8>>>) {
        let logic = LOGIC.get();
        let mut keys: Map<&str, Usual> = Map::default();
        for state in &states {
            let bytes = state.bytes.as_deref();
            let usual = bytes.and_then(|bytes| rmp_serde::from_slice(bytes).ok());
            keys.insert(&state.key, usual.unwrap_or_default());
        }
        let decisions = messages.iter().map(|message| decide(logic, message, &mut keys)).collect();
        let changed = states
            .iter()
            .map(|state| keys.get(state.key.as_str()).and_then(|usual| rmp_serde::to_vec(usual).ok()))
            .collect();
        (decisions, changed)
    }
}

fn decide(logic: Logic, message: &Message, keys: &mut Map<&str, Usual>) -> Decision {
    let encoding = match logic {
        Logic::Pass => return next(Vec::new()),
        Logic::Check(encoding) => encoding,
        Logic::Route => Encoding::Json,
        Logic::Anomaly => Encoding::MessagePack,
    };
    let Ok(reading) = Reading::check(&message.body, encoding) else {
        return Decision { verdict: Verdict::Reject("malformed".to_owned()), emissions: Vec::new() };
    };
    let score = match logic {
        Logic::Route => Some(0.0),
        Logic::Anomaly => {
            let usual = message.key.as_deref().and_then(|key| keys.get_mut(key));
            usual.and_then(|usual| usual.judge(&reading))
        }
        Logic::Pass | Logic::Check(_) => None,
    };
    let emissions = score.map(|score| Emission {
        output: "out".to_owned(),
        routing_key: reading.meter.to_owned(),
        body: told(&reading, score),
    });
    next(emissions.into_iter().collect())
}

fn next(emissions: Vec<Emission>) -> Decision {
    Decision { verdict: Verdict::Next, emissions }
}

export!(Records);
