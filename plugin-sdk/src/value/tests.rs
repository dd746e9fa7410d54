#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{List, Table};

fn every_type() -> Table {
    let nested = Table::new().field("deep", &List::new().item(1i32).item(Value::Void));
    Table::new()
        .field("t", true)
        .field("b", -8i8)
        .field("B", 8u8)
        .field("s", -16i16)
        .field("u", 16u16)
        .field("I", -32i32)
        .field("i", 32u32)
        .field("l", -64i64)
        .field("f", 1.5f32)
        .field("d", -2.5f64)
        .field("D", Value::Decimal { scale: 2, value: 12_345 })
        .field("S", "text")
        .field("x", &b"\0\xff"[..])
        .field("T", Value::Timestamp(1_767_225_600))
        .field("V", Value::Void)
        .field("A", &List::new().item("a").item(false))
        .field("F", &nested)
}

#[test]
fn values_of_every_type_are_read_as_they_were_written() {
    let table = every_type();
    let read = |name| table.fields().get(name).unwrap();
    assert_eq!(read("t").as_bool(), Some(true));
    let integers = ["b", "B", "s", "u", "I", "i", "l"].map(|name| read(name).as_i64().unwrap());
    assert_eq!(integers, [-8, 8, -16, 16, -32, 32, -64]);
    assert_eq!(["f", "d", "D"].map(|name| read(name).as_f64().unwrap()), [1.5, -2.5, 123.45]);
    assert_eq!(read("S").as_str(), Some("text"));
    assert_eq!(read("x"), Value::Bytes(b"\0\xff"));
    assert_eq!(read("T"), Value::Timestamp(1_767_225_600));
    assert_eq!(read("V"), Value::Void);
    let Value::Array(array) = read("A") else { unreachable!("an array") };
    assert_eq!(array.iter().collect::<Vec<_>>(), ["a".into(), false.into()]);
    let Value::Table(nested) = read("F") else { unreachable!("a table") };
    assert!(matches!(nested.get("deep"), Some(Value::Array(deep)) if deep.iter().count() == 2));
    assert_eq!(table.fields().iter().count(), 17);
}

#[test]
fn a_table_copied_value_by_value_is_the_same_bytes() {
    let table = every_type();
    let copy = table.fields().iter().fold(Table::new(), |to, (name, value)| to.field(name, value));
    assert_eq!(copy, table);
}

#[test]
fn a_table_cut_anywhere_inside_a_field_is_none() {
    let table = every_type();
    let fields: Vec<_> = table.fields().iter().collect();
    for end in 0..table.bytes().len() {
        // Reading what is cut ends before the cut; it doesn't panic.
        let cut: Vec<_> = Fields::new(&table.bytes()[..end]).iter().collect();
        assert!(cut.len() < 17 && cut[..] == fields[..cut.len()]);
    }
}

#[test]
fn a_name_too_long_for_amqp_is_cut_between_characters() {
    let table = Table::new().field(&"é".repeat(200), 1);
    let (name, _) = table.fields().iter().next().unwrap();
    assert_eq!(name.len(), 254);
}
