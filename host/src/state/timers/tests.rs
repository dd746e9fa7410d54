use super::*;

fn timer(name: &str, due_us: u64) -> Timer {
    Timer { name: name.into(), due_us, attempt: 0 }
}

#[test]
fn timers_are_in_order_of_their_due_times_and_a_name_occurs_once() {
    let mut entry = Entry::default();
    for (name, due_us) in [("b", 7), ("a", 9), ("c", 7), ("a", 1)] {
        entry.set_timer(timer(name, due_us));
    }
    assert_eq!(entry.timers(), [timer("a", 1), timer("b", 7), timer("c", 7)]);
}

#[test]
fn an_entry_whose_last_timer_was_taken_away_is_vacant() {
    let mut entry = Entry::default();
    entry.cancel_timer("none");
    entry.set_timer(timer("a", 1));
    assert!(!entry.is_vacant());
    entry.cancel_timer("a");
    assert!(entry.is_vacant() && entry.timers.is_none());
}
