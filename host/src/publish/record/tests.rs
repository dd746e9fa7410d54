#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::{Content, Format, Record, Records};
use crate::limits;
use crate::publish::template::Value;

type Read = Vec<Result<Record, String>>;

fn read(format: Format, input: &[u8]) -> Read {
    read_as(format, None, true, input)
}

fn read_as(format: Format, delimiter: Option<u8>, fields: bool, input: &[u8]) -> Read {
    let input = Box::new(std::io::Cursor::new(input.to_vec()));
    match Records::new(input, format, delimiter, fields, Arc::new(AtomicU64::new(0))) {
        Ok(records) => records.map(|record| record.map_err(|error| error.to_string())).collect(),
        Err(error) => vec![Err(error.to_string())],
    }
}

fn field(record: &Record, name: &str) -> String {
    match record.field(name) {
        Some(Value::Text(text)) => format!("text {text}"),
        Some(Value::Json(json)) => format!("json {json}"),
        None => "none".to_owned(),
    }
}

#[test]
fn json_lines_keep_their_bytes_and_their_numbers() {
    let read = read(Format::Jsonl, b"\xef\xbb\xbf{\"b\": 1,\"a\":2}\r\n\n[1]");
    let records: Vec<_> = read.into_iter().map(Result::unwrap).collect();
    assert_eq!(records[0].raw, b"{\"b\": 1,\"a\":2}");
    assert_eq!((records[0].number, records[1].number), (1, 3));
    assert_eq!(field(&records[0], "b"), "json 1");
    assert_eq!(records.len(), 2);
}

#[test]
fn a_line_that_is_not_json_is_named_and_the_next_is_read() {
    let read = read(Format::Jsonl, b"{}\n{\"cut\": \n{}\n");
    let error = read[1].as_ref().unwrap_err();
    assert!(
        error.starts_with("line 2: not JSON at column 8: EOF while parsing a value;"),
        "{error}"
    );
    assert!(read[2].is_ok());
}

#[test]
fn a_line_longer_than_what_can_be_published_ends_the_reading() {
    let mut input = vec![b'x'; limits::PUBLISH_BYTES + 8192];
    input.push(b'\n');
    let read = read(Format::Lines, &input);
    assert!(read[0].as_ref().unwrap_err().contains("longer than 16 MiB"));
    assert_eq!(read.len(), 1);
}

#[test]
fn cells_are_numbers_where_nothing_else_is_meant() {
    let read = read(Format::Csv, b"a,b,c,d,e,f,g\n4.216,-3,007,1e5,12345678901234567,,x\"\n");
    let Content::Cells(cells) = &read[0].as_ref().unwrap().content else { panic!() };
    assert_eq!(
        cells.to_json(),
        r#"{"a":4.216,"b":-3,"c":"007","d":"1e5","e":"12345678901234567","f":null,"g":"x\""}"#
    );
    assert_eq!(read[0].as_ref().unwrap().place, "line 2");
}

#[test]
fn a_number_in_a_cell_is_written_as_it_was() {
    let read = read(Format::Csv, b"v\n234.840\n");
    assert_eq!(field(read[0].as_ref().unwrap(), "v"), "json 234.840");
}

#[test]
fn the_delimiter_is_seen_in_the_header_row_unless_it_is_said() {
    let semicolons = read(Format::Csv, b"Date;Time;P,kW\n16/12/2006;17:24:00;4.216\n");
    assert_eq!(field(semicolons[0].as_ref().unwrap(), "Time"), "text 17:24:00");
    let said = read_as(Format::Csv, Some(b','), true, b"a;b,c\n1;2,3\n");
    assert_eq!(field(said[0].as_ref().unwrap(), "a;b"), "text 1;2");
    assert_eq!(field(read(Format::Csv, b"one\n1\n")[0].as_ref().unwrap(), "one"), "json 1");
}

#[test]
fn a_row_of_another_width_is_named_and_the_next_is_read() {
    let read = read(Format::Csv, b"a,b\n1,2\n3\n4,5\n");
    let error = read[1].as_ref().unwrap_err();
    assert!(error.starts_with("line 3: 1 cells under a header of 2"), "{error}");
    assert_eq!(field(read[2].as_ref().unwrap(), "b"), "json 5");
}

#[test]
fn a_column_named_twice_is_refused() {
    let error = read(Format::Csv, b"a,b,a\n1,2,3\n").remove(0).unwrap_err();
    assert_eq!(error, "line 1: the header row names 'a' twice; rename one column");
}

#[test]
fn messagepack_values_follow_each_other_with_their_bytes() {
    let first = rmp_serde::to_vec(&json!({"meter": "m-1", "kwh": 0.25})).unwrap();
    let second = rmp_serde::to_vec(&json!([1, "two"])).unwrap();
    let read = read(Format::Msgpack, &[first.clone(), second.clone()].concat());
    let records: Vec<_> = read.into_iter().map(Result::unwrap).collect();
    assert_eq!((&records[0].raw, &records[1].raw), (&first, &second));
    assert_eq!(field(&records[0], "kwh"), "json 0.25");
    assert_eq!(records[1].place, "value 2");
}

#[test]
fn messagepack_that_is_cut_says_so_and_ends_the_reading() {
    let whole = rmp_serde::to_vec(&json!({"meter": "m-1"})).unwrap();
    let read = read(Format::Msgpack, &whole[..whole.len() - 1]);
    assert_eq!(read[0].as_ref().unwrap_err(), "value 1: cut off: the input ends within it");
    assert_eq!(read.len(), 1);
}

#[test]
fn messagepack_that_json_cannot_say_passes_where_nobody_looks_into_it() {
    let binary = [0xc4, 2, 0xff, 0xfe];
    let read = read_as(Format::Msgpack, None, false, &binary);
    assert_eq!(read[0].as_ref().unwrap().raw, binary);
}

#[test]
fn bytes_are_counted_as_they_are_read() {
    let bytes = Arc::new(AtomicU64::new(0));
    let input = Box::new(&b"a,b\n1,2\n"[..]);
    let records = Records::new(input, Format::Csv, None, true, Arc::clone(&bytes)).unwrap();
    assert_eq!(records.count(), 1);
    assert_eq!(bytes.load(Ordering::Relaxed), 8);
}
