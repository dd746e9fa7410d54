//! The benchmark's logic without emissions as a SmartModule that filters.

use std::sync::OnceLock;

use bench_logic::{Encoding, Reading};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleExtraParams;
use fluvio_smartmodule::{Result, SmartModuleRecord, smartmodule};

/// How bodies are encoded; `None` where nobody looks at them.
static ENCODING: OnceLock<Option<Encoding>> = OnceLock::new();

#[smartmodule(init)]
fn init(params: SmartModuleExtraParams) -> Result<()> {
    ENCODING.get_or_init(|| match params.get("logic").map(String::as_str) {
        Some("check-json") => Some(Encoding::Json),
        Some("check-message-pack") => Some(Encoding::MessagePack),
        _ => None,
    });
    Ok(())
}

#[smartmodule(filter)]
pub fn filter(record: &SmartModuleRecord) -> Result<bool> {
    Ok(match ENCODING.get().copied().flatten() {
        None => true,
        Some(encoding) => Reading::check(record.value().as_ref(), encoding).is_ok(),
    })
}
