use super::*;

const BODY: u64 = 77;
const SECOND: Duration = Duration::from_secs(1);

/// An input of the pipeline 0 with outputs at the targets 0 and 1, published and confirmed at that
/// second.
fn input(oracle: &mut Oracle, sequence: u64, fate: Fate) -> String {
    let planned = Planned {
        id: format!("m{sequence}"),
        pipeline: 0,
        key: 7,
        sequence,
        body: BODY,
        fate,
        ordered: true,
    };
    oracle.attempted(&planned, SECOND);
    oracle.acknowledged(&planned.id);
    planned.id
}

fn both(oracle: &mut Oracle, sequence: u64) -> String {
    input(oracle, sequence, Fate::Out(&[0, 1]))
}

fn seen<'a>(input: &'a str, id: &'a str) -> Sighting<'a> {
    Sighting { input, id, body: BODY, redelivered: false }
}

fn counts(of: impl FnOnce(&mut Oracle)) -> Counts {
    let mut oracle = Oracle::new(1);
    of(&mut oracle);
    let (counts, told) = oracle.verdict();
    assert_eq!(counts.is_clean(), told.is_empty(), "{counts:?} {told:?}");
    counts
}

#[test]
fn inputs_that_meet_their_fates_are_counted_and_nothing_is_wrong() {
    let counts = counts(|oracle| {
        let out = both(oracle, 1);
        oracle.output(0, seen(&out, "o"));
        assert_eq!(oracle.open(0), 1);
        oracle.output(1, seen(&out, "p"));
        assert_eq!(oracle.open(0), 0);
        assert!(oracle.reached(SECOND) && !oracle.reached(SECOND * 2));
        let dead = input(oracle, 2, Fate::Dead("trap"));
        oracle.letter(seen(&dead, &dead));
        assert_eq!(oracle.open(0), 1);
        oracle.report(&dead, "trap");
        input(oracle, 3, Fate::Dropped);
        assert_eq!(oracle.open(0), 0);
    });
    assert!(counts.is_clean());
    let [delivered, dead, dropped] = [counts.delivered, counts.dead_lettered, counts.dropped];
    assert_eq!([counts.acknowledged, delivered, dead, dropped], [3, 1, 1, 1]);
}

#[test]
fn what_comes_out_nowhere_or_at_one_target_of_two_is_lost() {
    let counts = counts(|oracle| {
        both(oracle, 1);
        let half = both(oracle, 2);
        oracle.output(0, seen(&half, "o"));
    });
    assert_eq!(counts.lost, 2);
}

#[test]
fn a_dead_letter_without_a_report_or_a_report_without_a_letter_is_lost() {
    let counts = counts(|oracle| {
        let silent = input(oracle, 1, Fate::Dead("reject"));
        oracle.letter(seen(&silent, &silent));
        let empty = input(oracle, 2, Fate::Dead("reject"));
        oracle.report(&empty, "reject");
    });
    assert_eq!(counts.lost, 2);
}

#[test]
fn what_was_never_confirmed_may_be_nowhere() {
    let counts = counts(|oracle| {
        let planned = Planned {
            id: "m1".to_owned(),
            pipeline: 0,
            key: 7,
            sequence: 1,
            body: BODY,
            fate: Fate::Out(&[0]),
            ordered: true,
        };
        oracle.attempted(&planned, SECOND);
    });
    assert_eq!((counts.attempted, counts.acknowledged, counts.lost), (1, 0, 0));
}

fn twice(prepare: impl FnOnce(&mut Oracle), ids: [&str; 2], redelivered: bool) -> Counts {
    counts(|oracle| {
        let input = input(oracle, 1, Fate::Out(&[0]));
        prepare(oracle);
        oracle.output(0, seen(&input, ids[0]));
        oracle.output(0, Sighting { redelivered, ..seen(&input, ids[1]) });
    })
}

#[test]
fn a_duplicate_needs_a_reason() {
    let counts = twice(|_| {}, ["o", "o"], false);
    assert_eq!((counts.duplicated, counts.unexplained), (1, 1));
}

#[test]
fn a_disturbance_while_the_input_was_under_way_is_a_reason() {
    let counts = twice(Oracle::disturbed, ["o", "o"], false);
    assert_eq!((counts.duplicated, counts.unexplained), (1, 0));
    let over = |oracle: &mut Oracle| {
        oracle.disturbed();
        oracle.calmed(SECOND * 2);
    };
    assert_eq!(twice(over, ["o", "o"], false).unexplained, 0);
}

#[test]
fn a_disturbance_that_was_over_before_is_none() {
    let before = |oracle: &mut Oracle| {
        oracle.disturbed();
        oracle.calmed(SECOND / 2);
    };
    assert_eq!(twice(before, ["o", "o"], false).unexplained, 1);
}

#[test]
fn that_its_publisher_published_it_again_is_a_reason() {
    let counts = counts(|oracle| {
        let input = input(oracle, 1, Fate::Out(&[0]));
        let planned = oracle.inputs[&input].planned.clone();
        oracle.attempted(&planned, SECOND * 2);
        oracle.output(0, seen(&input, "o"));
        oracle.output(0, seen(&input, "o"));
    });
    assert_eq!((counts.attempted, counts.duplicated, counts.unexplained), (1, 1, 0));
}

#[test]
fn a_duplicate_under_another_id_is_wrong_whatever_the_reason() {
    let counts = twice(Oracle::disturbed, ["o", "other"], false);
    assert_eq!((counts.other_ids, counts.is_clean()), (1, false));
}

#[test]
fn what_the_broker_delivers_to_the_collector_again_is_no_duplicate() {
    assert_eq!(twice(|_| {}, ["o", "o"], true).duplicated, 0);
}

#[test]
fn another_body_is_told() {
    let counts = counts(|oracle| {
        let input = input(oracle, 1, Fate::Out(&[0]));
        oracle.output(0, Sighting { body: BODY + 1, ..seen(&input, "o") });
    });
    assert_eq!(counts.altered, 1);
}

#[test]
fn a_keys_outputs_out_of_order_are_told_and_their_duplicates_are_not() {
    let in_order = |oracle: &mut Oracle, order: [u64; 4]| {
        oracle.disturbed();
        for sequence in 1..=3 {
            input(oracle, sequence, Fate::Out(&[0]));
        }
        for sequence in order {
            oracle.output(0, seen(&format!("m{sequence}"), &format!("o{sequence}")));
        }
    };
    assert_eq!(counts(|oracle| in_order(oracle, [1, 2, 1, 3])).disordered, 0);
    assert_eq!(counts(|oracle| in_order(oracle, [1, 3, 2, 1])).disordered, 1);
}

#[test]
fn what_nobody_published_and_what_should_not_have_come_out_is_told() {
    let counts = counts(|oracle| {
        oracle.output(0, seen("ghost", "o"));
        oracle.report("ghost", "trap");
        let elsewhere = input(oracle, 1, Fate::Out(&[0]));
        oracle.output(0, seen(&elsewhere, "o"));
        oracle.output(1, seen(&elsewhere, "p"));
        let other = input(oracle, 2, Fate::Dead("trap"));
        oracle.letter(seen(&other, &other));
        oracle.report(&other, "deadline");
        oracle.report(&other, "trap");
    });
    assert_eq!(counts.unexpected, 4);
}

#[test]
fn what_came_out_and_was_dead_lettered_is_split() {
    let counts = counts(|oracle| {
        let input = input(oracle, 1, Fate::Out(&[0]));
        oracle.output(0, seen(&input, "o"));
        oracle.letter(seen(&input, &input));
    });
    assert_eq!((counts.split, counts.unexpected), (1, 1));
}

#[test]
fn what_was_in_a_deleted_queue_is_gone_and_not_lost() {
    let counts = counts(|oracle| {
        let before = both(oracle, 1);
        oracle.output(0, seen(&before, "o"));
        oracle.gone(0);
        assert_eq!(oracle.open(0), 0);
        both(oracle, 2);
        oracle.output(1, seen(&before, "p"));
        assert_eq!(oracle.open(0), 1);
    });
    assert_eq!((counts.gone, counts.lost, counts.delivered), (1, 1, 1));
}
