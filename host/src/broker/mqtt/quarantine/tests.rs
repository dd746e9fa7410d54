#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn keeper(folder: &tempfile::TempDir, max_files: usize, max_bytes: u64) -> Keeper {
    Keeper(Quarantine { dir: folder.path().join("q"), max_files, max_bytes })
}

fn sizes(keeper: &Keeper) -> Vec<u64> {
    let files = fs::read_dir(&keeper.0.dir).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).collect()
}

#[test]
fn the_oldest_go_when_there_are_too_many_files_or_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&folder, 3, 1000);
    for _ in 0..5 {
        keeper.keep("t", &[b'x'; 100]).unwrap();
    }
    assert_eq!(sizes(&keeper).len(), 3);
    let last = keeper.keep("t", &[b'x'; 900]).unwrap();
    assert!(!last.cut);
    assert!(sizes(&keeper).iter().sum::<u64>() <= 1000 + 100, "{:?}", sizes(&keeper));
    assert!(last.path.is_file());
}

#[test]
fn of_what_is_larger_than_all_the_beginning_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&folder, 3, 1000);
    let kept = keeper.keep("t", &[b'x'; 5000]).unwrap();
    assert!(kept.cut);
    assert_eq!(sizes(&keeper), [1000]);
    let text = fs::read_to_string(&kept.path).unwrap();
    assert!(text.starts_with("{\"topic\":\"t\",\"bytes\":5000}\nxxx"), "{text}");
}
