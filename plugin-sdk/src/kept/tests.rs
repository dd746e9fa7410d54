use super::*;

fn take<S>(kept: &mut Kept<S>, key: &[u8], generation: u64) -> Option<S> {
    kept.take(key, generation).map(|held| held.state)
}

#[test]
fn a_state_is_there_once_and_under_its_generation_alone() {
    let mut kept = Kept::new();
    kept.keep(Held::new(b"a", "three"), 3, 5);
    assert_eq!(take(&mut kept, b"a", 2), None);
    assert_eq!(take(&mut kept, b"b", 3), None);
    assert_eq!(take(&mut kept, b"a", 3), Some("three"));
    assert_eq!(take(&mut kept, b"a", 3), None);
    assert_eq!(kept.bytes, 0);
}

#[test]
fn keys_that_share_a_place_never_get_each_others_state() {
    let mut kept = Kept::new();
    let keys: Vec<String> = (0..4 * PLACES).map(|n| format!("meter-{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        kept.keep(Held::new(key.as_bytes(), n), 1, 1);
    }
    let found =
        keys.iter().enumerate().filter(|(n, key)| match take(&mut kept, key.as_bytes(), 1) {
            Some(state) => {
                assert_eq!(state, *n);
                true
            }
            None => false,
        });
    // Spread evenly, all but e⁻⁴ of the places would be taken.
    assert!(found.count() > PLACES * 19 / 20);
}

#[test]
fn what_is_kept_is_bounded_by_bytes() {
    let mut kept = Kept::new();
    for n in 0..1000_u32 {
        kept.keep(Held::new(&n.to_le_bytes(), n), 1, STATE_BYTES);
        assert!(kept.bytes <= BYTES);
    }
    kept.keep(Held::new(b"large", 0), 1, STATE_BYTES + 1);
    assert_eq!(take(&mut kept, b"large", 1), None);
    let held: usize = kept.places.iter().flatten().map(|held| held.bytes).sum();
    assert_eq!(held, kept.bytes);
}
