use super::names::matches;

#[test]
fn a_wildcard_stands_for_the_first_label_of_a_common_name() {
    for (pattern, host) in [
        ("db.internal", "db.internal"),
        ("DB.internal", "db.Internal"),
        ("*.internal", "db.internal"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        assert!(matches(pattern, host), "{pattern} {host}");
    }
    for (pattern, host) in [
        ("", "db.internal"),
        ("*", "db"),
        ("*.", "db."),
        ("*.internal", "internal"),
        ("*.internal", ".internal"),
        ("*.internal", "db.eu.internal"),
        ("d*.internal", "db.internal"),
        ("*.0.0.1", "127.0.0.2"),
        ("db.internal", "db.internal.example"),
    ] {
        assert!(!matches(pattern, host), "{pattern} {host}");
    }
}
