//! A plugin that opens a file. Linking what it needs for that is enough to be refused.

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "plugin" });

use exports::sluicegate::plugin::guest::{Batch, Decisions, Description, Guest};

struct Files;

impl Guest for Files {
    fn describe() -> Description {
        Description {
            name: "files".to_owned(),
            version: "1.0.0".to_owned(),
            sdk: "none".to_owned(),
            state_version: None,
        }
    }

    fn configure(_config: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn process(_batch: Batch) -> Decisions {
        let arena = std::fs::read("/etc/passwd").expect("the host's users");
        Decisions { arena, index: Vec::new(), reasons: Vec::new() }
    }

    fn migrate(_state_version: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(state)
    }
}

export!(Files);
