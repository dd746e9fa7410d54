#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn settings(&self, name: &str, text: &str) -> config::Table {
        let file = self.0.path().join(name);
        fs::write(&file, text).unwrap();
        config::Table { name: "meters".to_owned(), file, key: "meter".to_owned() }
    }

    fn read(&self, name: &str, text: &str) -> Result<Table, TableError> {
        Table::read(&self.settings(name, text))
    }
}

fn row(table: &Table, key: &str) -> Value {
    table.row(key).map_or(Value::Null, |row| rmp_serde::from_slice(row).unwrap())
}

#[test]
fn columns_of_numbers_are_numbers_and_all_others_text() {
    let text = "\u{feff}meter,rated_kw,phases,zone,active,note\n\
                7,4.5,3,007,true,\"a, b\"\n\
                8,6,1,12,false,\n";
    let table = Folder::new().read("m.csv", text).unwrap();
    let seven = json!({ "meter": "7", "rated_kw": 4.5, "phases": 3, "zone": "007", "active": true,
                        "note": "a, b" });
    let eight = json!({ "meter": "8", "rated_kw": 6.0, "phases": 1, "zone": "12", "active": false,
                        "note": null });
    assert_eq!((row(&table, "7"), row(&table, "8"), row(&table, "9")), (seven, eight, Value::Null));
    assert_eq!(table.len(), 2);
}

#[test]
fn json_lines_keep_their_types() {
    let text = "{\"meter\":\"a\",\"tariff\":[1,2]}\n\n{\"meter\":8,\"nested\":{\"x\":1.5}}\n";
    let table = Folder::new().read("m.jsonl", text).unwrap();
    assert_eq!(row(&table, "a"), json!({ "meter": "a", "tariff": [1, 2] }));
    assert_eq!(row(&table, "8"), json!({ "meter": 8, "nested": { "x": 1.5 } }));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let folder = Folder::new();
    let refused = |name: &str, text: &str, why: &str| {
        let error = folder.read(name, text).unwrap_err().to_string();
        assert!(error.contains(why), "'{error}' doesn't say '{why}'");
    };
    refused(
        "m.csv",
        "id,kw\n7,1\n",
        "no column 'meter', which `key` names; the first line has: id, kw",
    );
    refused("m.csv", "meter,kw\n7,1\n7,2\n", "line 3: there is a row of key '7' already");
    refused("m.csv", "meter,kw\n,1\n", "line 2: the row has no key");
    refused("m.csv", "meter,kw\n7\n", "this isn't CSV");
    refused("m.jsonl", "{\"meter\":1}\n{\n", "line 2: this isn't JSON");
    refused("m.jsonl", "[1]\n", "line 1: an object with a text or number 'meter'");
    let mut gone = folder.settings("gone.csv", "");
    gone.file = "nowhere/m.csv".into();
    assert!(Table::read(&gone).unwrap_err().text.contains("can't read nowhere/m.csv"));
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_table_as_it_was() {
    let folder = Folder::new();
    let settings = folder.settings("m.csv", "meter,kw\n7,1\n");
    let tables = Tables::load(&BTreeMap::from([("meters".to_owned(), settings)])).unwrap();
    let slot = tables.get("meters").unwrap();
    assert_eq!(slot.reload(), Ok(Reloaded::Same));
    folder.settings("m.csv", "meter,kw\n7,1\n7,2\n");
    assert!(slot.reload().is_err());
    assert_eq!(row(&slot.current(), "7"), json!({ "meter": "7", "kw": 1 }));
    let held = slot.current();
    folder.settings("m.csv", "meter,kw\n7,2\n8,3\n");
    assert_eq!(slot.reload(), Ok(Reloaded::Replaced(2)));
    assert_eq!(row(&slot.current(), "7"), json!({ "meter": "7", "kw": 2 }));
    assert_eq!(row(&held, "8"), Value::Null, "whoever holds the one before goes on with it");
}

#[test]
fn a_key_gets_its_rows_of_all_tables_that_have_one() {
    let folder = Folder::new();
    let read = |name: &str, text: &str| {
        let settings = folder.settings(&format!("{name}.csv"), text);
        Arc::new(Table::read(&config::Table { name: name.to_owned(), ..settings }).unwrap())
    };
    let tables = [read("meters", "meter,kw\n7,1\n8,2\n"), read("faults", "meter,code\n8,E1\n")];
    let rows = |key| {
        let mut packed = Vec::new();
        rows_of(&tables, key, &mut packed);
        rmp_serde::from_slice::<Value>(&packed).unwrap()
    };
    assert_eq!(rows("7"), json!({ "meters": { "meter": "7", "kw": 1 } }));
    assert_eq!(rows("8")["faults"], json!({ "meter": "8", "code": "E1" }));
    assert_eq!(rows("9"), json!({}));
}
