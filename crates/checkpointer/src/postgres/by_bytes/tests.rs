use super::ByBytes;

#[test]
fn what_makes_room_is_returned_and_what_was_used_longest_ago_goes_first() {
    let mut kept = ByBytes::new(10);
    for key in ["a", "b", "c"] {
        assert!(kept.put(key, key, 3).is_empty());
    }
    assert_eq!(kept.get(&"a"), Some(&"a"));
    assert_eq!(kept.put("d", "d", 4), ["b"]);
    assert_eq!(kept.put("a", "other", 7), ["a", "c", "d"]);
    assert_eq!(kept.bytes(), 7);
    assert_eq!(kept.take(&"a"), Some("other"));
    assert_eq!(kept.bytes(), 0);
}

#[test]
fn what_is_too_large_makes_no_other_go() {
    let mut kept = ByBytes::new(10);
    assert!(kept.put("a", "a", 5).is_empty());
    assert!(kept.put("b", "b", 5).is_empty());
    assert_eq!(kept.put("c", "large", 11), ["large"]);
    assert_eq!(kept.put("a", "large", 11), ["a", "large"]);
    assert_eq!(kept.get(&"b"), Some(&"b"));
    assert_eq!(kept.bytes(), 5);
}
