use super::grouped;

#[test]
fn thousands_stand_apart() {
    assert_eq!([0, 7, 999, 1000, 1_234_567].map(grouped), ["0", "7", "999", "1 000", "1 234 567"]);
}
