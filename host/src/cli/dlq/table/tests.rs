#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn printed(screen: Screen) -> String {
    let mut table = Table::new(&["ID", ">COUNT", "~TEXT"]);
    table.row([("a", Look::Strong), ("7", Look::Plain), ("short", Look::Plain)]);
    let long = "a text that is longer than the terminal is wide\u{1b}[31m";
    table.row([("bb", Look::Strong), ("1 000", Look::Bad), (long, Look::Plain)]);
    let mut out = Vec::new();
    table.print(screen, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_pipe_gets_everything_and_no_colours() {
    let text = printed(Screen::default());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "ID  COUNT  TEXT");
    assert_eq!(lines[1], "a       7  short");
    assert!(lines[2].starts_with("bb  1 000  a text that is longer than the terminal is wide"));
    assert!(!text.contains('\u{1b}'), "what could steer a terminal is made visible");
}

#[test]
fn a_terminal_gets_what_fits() {
    let text = printed(Screen { color: false, width: Some(36) });
    assert!(text.lines().all(|line| line.chars().count() <= 36), "{text}");
    assert!(text.contains('…'));
    let coloured = printed(Screen { color: true, width: Some(36) });
    assert!(coloured.contains("\u{1b}[31m1 000\u{1b}[0m"), "{coloured}");
}
