use super::*;

fn file() -> File {
    File {
        category: "made".to_owned(),
        path: "made/up.csv".to_owned(),
        rows: (0..100).map(|at| (at, 0.0)).collect(),
        windows: vec![(20, 29), (60, 69)],
        probation: 10,
    }
}

fn raw(rows: &[usize]) -> f64 {
    file().tally(rows.iter().copied(), &PROFILES[0]).raw
}

fn assert_close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn a_window_earns_by_its_earliest_alarm_and_costs_where_there_is_none() {
    assert_close(raw(&[]), -2.0);
    assert_close(raw(&[20]), 0.0);
    assert_close(raw(&[20, 25, 29]), raw(&[20]));
    assert_close(raw(&[25, 20]), raw(&[20]));
    assert_close(raw(&[29]), scaled(-0.1) / scaled(-1.0) - 1.0);
}

#[test]
fn what_is_outside_costs_more_the_farther_it_is_from_the_window_before() {
    let cost = |row: usize| raw(&[]) - raw(&[row]);
    assert_close(cost(5), 0.0);
    assert_close(cost(15), 0.11);
    assert!(cost(30) > 0.0 && cost(30) < cost(40) && cost(40) < cost(59));
    assert_close(file().tally([15], &PROFILES[1]).raw, -2.22);
}

#[test]
fn a_score_is_100_for_all_at_once_and_0_for_nothing() {
    for profile in &PROFILES {
        assert_close(file().tally([20, 60], profile).score(profile), 100.0);
        assert_close(file().tally([], profile).score(profile), 0.0);
    }
}

#[test]
fn the_sweep_finds_the_threshold_with_the_best_score() {
    let corpus = Corpus { files: vec![file()] };
    let alarms = vec![vec![(15, 3.0), (20, 9.0), (40, 2.0), (60, 5.0), (61, 3.0)]];
    let (threshold, tally) = corpus.sweep(&alarms, &PROFILES[0]);
    assert_close(f64::from(threshold), 5.0);
    assert_eq!((tally.found, tally.false_rows), (2, 0));
    assert_close(tally.score(&PROFILES[0]), 100.0);
    let none = corpus.sweep(&[vec![(15, 3.0)]], &PROFILES[0]).1;
    assert_eq!((none.found, none.false_rows), (0, 0), "better no alarm than a wrong one");
}
