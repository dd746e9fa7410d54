//! What the plugins for meters promise, in the sandbox and as a whole.

use std::fs;

use sluicegate::builtin;

use crate::service::process::sluicegate;
use crate::tidy::source::root;

#[test]
fn the_plugins_on_board_pass_their_cases_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for name in builtin::names() {
        let cases = root().join("plugins").join(name).join("cases");
        if !cases.is_dir() {
            continue;
        }
        let component = folder.path().join(format!("{name}.wasm"));
        fs::write(&component, builtin::plugin(name).unwrap()).unwrap();
        let [component, cases] = [&component, &cases].map(|path| path.to_str().unwrap());
        let told = sluicegate(&["plugin", "test", component, "--cases", cases]);
        assert!(told.status.success(), "{name}: {}", String::from_utf8_lossy(&told.stdout));
        tried += 1;
    }
    assert!(tried >= 2);
}
