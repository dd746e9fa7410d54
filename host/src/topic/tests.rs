use super::*;
use crate::route::topic_matches;

const CABINET: &str = "Türkiye/Trabzon/Orta Hisar/KTÜ/Kabin1/ Nem-Sıcaklık/Nem";

#[test]
fn a_topic_in_any_script_with_spaces_goes_there_and_back() {
    let key = routing_key_of(CABINET, '/');
    assert_eq!(key, "Türkiye.Trabzon.Orta Hisar.KTÜ.Kabin1. Nem-Sıcaklık.Nem");
    assert_eq!(topic_of(&key, None, '/'), CABINET);
    assert_eq!(topic_of(&key, Some(CABINET), '/'), CABINET);
    assert_eq!(level(CABINET, '/', 5), Some(" Nem-Sıcaklık"));
}

#[test]
fn empty_levels_are_empty_words() {
    for topic in ["/", "//a//", "/a", "a/"] {
        let key = routing_key_of(topic, '/');
        assert_eq!(topic_of(&key, None, '/'), topic);
    }
    assert_eq!(level("//a", '/', 0), Some(""));
    assert_eq!(level("//a", '/', 2), Some("a"));
    assert_eq!(level("//a", '/', 3), None);
}

#[test]
fn a_dot_within_a_level_is_lost_in_the_key_and_found_in_the_header() {
    let key = routing_key_of("plant/v1.2/x", '/');
    assert_eq!(key, "plant.v1.2.x");
    assert_eq!(topic_of(&key, None, '/'), "plant/v1/2/x");
    assert_eq!(topic_of(&key, Some("plant/v1.2/x"), '/'), "plant/v1.2/x");
    assert_eq!(topic_of("alarms.a", Some("plant/v1.2/x"), '/'), "alarms/a", "another key counts");
}

#[test]
fn composed_and_decomposed_letters_stay_apart() {
    let (composed, decomposed) = ("İ/ğ", "I\u{307}/g\u{306}");
    assert_ne!(routing_key_of(composed, '/'), routing_key_of(decomposed, '/'));
}

#[test]
fn a_long_topics_key_keeps_whole_words_and_tells_topics_apart() {
    let long = |end: &str| format!("ülke/{}{end}", "şehir/".repeat(60));
    let keys = [routing_key_of(&long("a"), '/'), routing_key_of(&long("b"), '/')];
    for key in &keys {
        assert!(key.len() <= SHORT_STRING_BYTES, "{}", key.len());
        assert!(topic_matches("ülke.şehir.şehir.#", key), "{key}");
        assert!(
            key.split('.').rev().skip(1).all(|word| word == "ülke" || word == "şehir"),
            "{key}"
        );
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!(topic_of(&keys[0], Some(&long("a")), '/'), long("a"));
    let one_level = routing_key_of(&"ç".repeat(300), '/');
    assert!(one_level.starts_with('~') && one_level.len() == 17, "{one_level}");
}

#[test]
fn what_has_slashes_is_a_topic_already() {
    assert_eq!(topic_of("answers/v1.2", Some("plant/a"), '/'), "answers/v1.2");
}

#[test]
fn another_separator_makes_other_levels() {
    assert_eq!(routing_key_of("Trabzon:Kabin1:Nem", ':'), "Trabzon.Kabin1.Nem");
    assert_eq!(level("Trabzon:Kabin1:Nem", ':', 1), Some("Kabin1"));
    assert_eq!(level("Trabzon:Kabin1:Nem", '/', 1), None);
    let back = topic_of("Trabzon.Kabin1.Nem", Some("Trabzon:Kabin1:Nem"), ':');
    assert_eq!(back, "Trabzon:Kabin1:Nem");
}

#[test]
fn filters_become_patterns() {
    assert_eq!(pattern_of("meters/+/reading"), "meters.*.reading");
    assert_eq!(pattern_of("meters/#"), "meters.#");
    assert_eq!(pattern_of("$share/hosts/meters/+"), "meters.*");
    assert_eq!(pattern_of("#"), "#");
}

#[test]
fn what_is_no_filter_is_refused_with_its_reason() {
    for good in ["#", "+", "a/+/b", "/", "a//#", "$share/g/a/#", "$SYS/#", "Orta Hisar/+"] {
        assert_eq!(check_filter(good), Ok(()), "{good}");
    }
    let bad = [
        ("", FilterError::Text),
        ("a\0", FilterError::Text),
        ("a/#/b", FilterError::Hash),
        ("a/b#", FilterError::Wildcard),
        ("a+/b", FilterError::Wildcard),
        ("$share/g", FilterError::Share),
        ("$share//a", FilterError::Share),
        ("$share/g/", FilterError::Share),
        ("$share/+/a", FilterError::Share),
    ];
    for (filter, why) in bad {
        assert_eq!(check_filter(filter), Err(why), "{filter}");
    }
}
