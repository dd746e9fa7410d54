#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A file and a clock that the test holds.
struct Bench {
    start: Instant,
    now: Instant,
    file: Option<(u64, &'static str)>,
    settling: Settling,
}

fn digest(text: &str) -> String {
    format!("#{text}")
}

impl Bench {
    fn new(known: &'static str) -> Self {
        let start = Instant::now();
        let settling = Settling::new(Some(digest(known)));
        let mut bench = Self { start, now: start, file: Some((0, known)), settling };
        assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
        assert_eq!(bench.look(), Step::Idle);
        bench
    }

    /// Written now.
    fn write(&mut self, text: &'static str) {
        let written = u64::try_from(self.now.duration_since(self.start).as_millis()).unwrap();
        self.file = Some((written, text));
    }

    fn look(&mut self) -> Step {
        self.now += WATCH_SETTLE;
        let stamp = || {
            let (written, text) = self.file.ok_or(io::ErrorKind::NotFound)?;
            Ok(Stamp {
                place: (0, 0),
                size: text.len() as u64,
                modified: (written as i64, 0),
                changed: (written as i64, 0),
            })
        };
        let read = || {
            let (_, text) = self.file.ok_or(io::ErrorKind::NotFound)?;
            Ok((text.as_bytes().to_vec(), digest(text)))
        };
        let whole =
            |bytes: &[u8]| if bytes.ends_with(b"-") { Err("cut".to_owned()) } else { Ok(()) };
        self.settling.look(self.now, stamp, read, whole)
    }

    /// Looks until there is something to tell; how many looks it took.
    fn told(&mut self) -> (Step, usize) {
        for looks in 1..1000 {
            match self.look() {
                Step::Again(_) => {}
                step => return (step, looks),
            }
        }
        panic!("it looks for ever");
    }
}

fn settled(text: &str) -> Step {
    Step::Settled(text.as_bytes().to_vec(), digest(text))
}

#[test]
fn a_change_is_told_once_when_it_stood_still() {
    let mut bench = Bench::new("old");
    bench.write("new");
    assert_eq!(bench.told(), (settled("new"), 3));
    assert_eq!(bench.look(), Step::Idle);
}

#[test]
fn a_burst_is_told_as_one_change() {
    let mut bench = Bench::new("old");
    for text in ["", "n", "ne", "new-", "new"] {
        bench.now += MS;
        bench.write(text);
        assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    }
    assert_eq!(bench.told().0, settled("new"));
    assert_eq!(bench.look(), Step::Idle);
}

#[test]
fn what_is_touched_or_written_back_is_no_news() {
    let mut bench = Bench::new("old");
    bench.write("old");
    assert_eq!(bench.told().0, Step::Idle);
    bench.write("new");
    assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    bench.now += MS;
    bench.write("old");
    assert_eq!(bench.told().0, Step::Idle);
}

#[test]
fn a_file_that_is_gone_for_a_moment_is_no_trouble() {
    let mut bench = Bench::new("old");
    bench.file = None;
    assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    bench.write("new");
    assert_eq!(bench.told().0, settled("new"));
}

#[test]
fn what_stays_cut_off_is_told_after_a_while_and_its_rest_still_counts() {
    let mut bench = Bench::new("old");
    bench.write("new-");
    let (step, _) = bench.told();
    assert_eq!(step, Step::Trouble("it isn't whole: cut".to_owned()));
    assert!(bench.now.duration_since(bench.start) >= WATCH_PATIENCE);
    assert_eq!(bench.look(), Step::Idle);
    bench.write("new");
    assert_eq!(bench.told().0, settled("new"));
}

#[test]
fn what_is_gone_for_good_is_told() {
    let mut bench = Bench::new("old");
    bench.file = None;
    assert!(matches!(bench.told().0, Step::Trouble(_)));
    assert_eq!(bench.look(), Step::Idle);
    bench.write("old");
    assert_eq!(bench.told().0, settled("old"));
}

#[test]
fn what_never_comes_to_rest_is_told() {
    let mut bench = Bench::new("old");
    let mut told = Vec::new();
    for _ in 0..80 {
        bench.write("new");
        match bench.look() {
            Step::Again(_) => {}
            step => told.push(step),
        }
    }
    assert_eq!(told, [Step::Trouble("it doesn't come to rest".to_owned())]);
}

#[test]
fn same_size_and_times_with_other_content_between_two_reads_is_no_rest() {
    let mut bench = Bench::new("old");
    bench.write("one");
    let written = bench.file.unwrap().0;
    assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    bench.file = Some((written, "two"));
    assert_eq!(bench.look(), Step::Again(WATCH_SETTLE));
    assert_eq!(bench.look(), settled("two"));
}
