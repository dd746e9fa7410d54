#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::clock::Clock;

fn letters(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Starts on what the last one left; dropping it without `end` is a death.
fn start(folder: &tempfile::TempDir) -> CrashJournal {
    CrashJournal::open(folder.path(), &Clock::system())
}

#[test]
fn a_first_start_and_one_after_a_clean_end_note_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = start(&folder);
    assert!(!journal.wary());
    journal.end();
    let journal = start(&folder);
    assert!(!journal.wary());
    drop(journal);
    assert!(start(&folder).wary(), "that one was killed");
}

#[test]
fn who_ran_when_the_host_died_is_suspected_and_condemned_after_three_deaths_alone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = start(&folder);
    journal.enter(&letters(&["before"]), false).unwrap();
    journal.leave(letters(&["before"]));
    journal.enter(&letters(&["innocent", "poison"]), false).unwrap();
    drop(journal);
    let journal = start(&folder);
    assert_eq!(journal.standing("before"), Standing::Clear);
    assert_eq!(journal.standing("innocent"), Standing::Suspect);
    journal.enter(&letters(&["innocent"]), true).unwrap();
    journal.leave(letters(&["innocent"]));
    assert_eq!(journal.standing("innocent"), Standing::Clear);
    let mut journal = journal;
    for deaths in 0..CRASH_DEATHS {
        assert_eq!(journal.standing("poison"), Standing::Suspect, "after {deaths}");
        journal.enter(&letters(&["poison"]), true).unwrap();
        drop(journal);
        journal = start(&folder);
    }
    assert_eq!(journal.standing("poison"), Standing::Condemned(CRASH_DEATHS));
    assert_eq!(journal.standing("innocent"), Standing::Clear);
    // A clean end between doesn't clear it; its settlement does.
    journal.end();
    let journal = start(&folder);
    assert!(journal.wary());
    assert_eq!(journal.standing("poison"), Standing::Condemned(CRASH_DEATHS));
    journal.settled("poison");
    journal.end();
    let journal = start(&folder);
    assert!(!journal.wary());
    assert_eq!(journal.standing("poison"), Standing::Clear);
}

#[test]
fn thirty_deaths_among_others_condemn_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for _ in 0..30 {
        let journal = start(&folder);
        journal.enter(&all, false).unwrap();
    }
    let journal = start(&folder);
    assert!(all.iter().all(|letter| journal.standing(letter) == Standing::Suspect));
}

#[test]
fn a_journal_cut_anywhere_is_read_up_to_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let journal = start(&folder);
    journal.enter(&letters(&["first"]), false).unwrap();
    journal.enter(&letters(&["second"]), false).unwrap();
    drop(journal);
    let path = folder.path().join(CRASH_JOURNAL_FILE);
    let whole = std::fs::read(&path).unwrap();
    let lines: Vec<usize> =
        (0..whole.len()).filter(|&at| whole[at] == b'\n').map(|at| at + 1).collect();
    for cut in 1..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let journal = start(&folder);
        assert!(journal.wary(), "cut at {cut}");
        // Whole but for its line break is whole enough.
        let told = |line: usize| cut + 1 >= lines[line];
        assert_eq!(journal.standing("first") == Standing::Suspect, told(1), "cut at {cut}");
        assert_eq!(journal.standing("second") == Standing::Suspect, told(2), "cut at {cut}");
        journal.end();
    }
}

#[test]
fn equal_messages_share_a_letter_and_the_last_to_leave_clears_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = start(&folder);
    journal.enter(&letters(&["twin", "twin"]), false).unwrap();
    journal.leave(letters(&["twin"]));
    drop(journal);
    assert_eq!(start(&folder).standing("twin"), Standing::Suspect);
}

#[test]
fn it_stays_bounded_whatever_runs() {
    let folder = tempfile::tempdir().unwrap();
    let journal = start(&folder);
    let batch: Vec<String> = (0..256).map(|n| format!("{n:032}")).collect();
    let mut longest = 0;
    for _ in 0..2000 {
        journal.enter(&batch, false).unwrap();
        journal.leave(batch.clone());
        let length = std::fs::metadata(folder.path().join(CRASH_JOURNAL_FILE)).unwrap().len();
        longest = longest.max(length);
    }
    assert!(longest < CRASH_JOURNAL_BYTES * 2, "{longest}");
}

#[test]
fn a_folder_that_cant_be_written_makes_it_wary_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::write(&state, b"in the way").unwrap();
    let journal = CrashJournal::open(&state, &Clock::system());
    assert!(journal.wary());
    assert!(journal.check().is_err());
    assert!(journal.enter(&letters(&["a"]), false).is_err());
    std::fs::remove_file(&state).unwrap();
    journal.check().unwrap();
    journal.enter(&letters(&["a"]), false).unwrap();
    drop(journal);
    assert_eq!(CrashJournal::open(&state, &Clock::system()).standing("a"), Standing::Suspect);
}

#[test]
fn who_runs_alone_runs_with_nobody_and_only_they_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(&folder));
    let journal = Arc::new(start(&folder));
    let path = folder.path().join(CRASH_JOURNAL_FILE);
    let running = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (journal, running) = (Arc::clone(&journal), Arc::clone(&running));
            let path = path.clone();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    let alone = n % 4 == 0;
                    let own = n.to_string();
                    let ran = journal.run(vec![own.clone()], alone, || {
                        let others = running.fetch_add(1, Ordering::SeqCst);
                        assert!(!alone || others == 0);
                        std::thread::yield_now();
                        assert!(!alone || running.load(Ordering::SeqCst) == 1);
                        if alone {
                            let noted = Story::read(&read(&path).unwrap()).running;
                            assert_eq!(noted, HashMap::from([(own, (1, true))]));
                        }
                        running.fetch_sub(1, Ordering::SeqCst);
                    });
                    ran.unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
