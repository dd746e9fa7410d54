#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::builtin;

const CASE: &str = r#"about = "an order"
config = { big = 100 }
[[call]]
[[call.message]]
# what came in
body.json = { id = "o-1" }
expect = { verdict = "trap" }
"#;

#[test]
fn cases_fail_legibly_are_updated_and_pass() {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("order_guard.wasm");
    fs::write(&component, builtin::plugin("order-guard").unwrap()).unwrap();
    let cases = folder.path().join("cases");
    fs::create_dir(&cases).unwrap();
    assert!(cases_in(std::slice::from_ref(&cases)).unwrap_err().to_string().contains("no case"));
    fs::write(cases.join("b.toml"), CASE).unwrap();
    fs::write(cases.join("a.json"), "{}").unwrap();
    let files = cases_in(&[cases]).unwrap();
    let told = run_all(&component, &files, false).unwrap();
    let said = text(&told, Paint::none());
    assert!(said.contains("a case has a call at least"), "{said}");
    assert!(said.contains("call 1, message 1, verdict\n        expected  trap\n"), "{said}");
    assert!(said.ends_with("0 of 2 cases pass\n"), "{said}");
    assert!(run_all(&component, &files[1..], true).unwrap()[0].passed());
    let told = run_all(&component, &files[1..], false).unwrap();
    assert!(told[0].passed(), "{}", text(&told, Paint::none()));
    let file = fs::read_to_string(&files[1]).unwrap();
    assert!(file.contains("# what came in") && !file.contains("trap"), "{file}");
    assert_eq!(told[0].json()["passed"], true);
}
