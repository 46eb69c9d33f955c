#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use serde_json::json;

use super::Log;

#[test]
fn a_log_is_the_json_of_its_items() {
    let log: Log<u8> = (0..3).collect();
    let json = json!({ "log": log, "in": [log] });
    assert_eq!(json, json!({ "log": [0, 1, 2], "in": [[0, 1, 2]] }));
    let read: Log<u8> = serde_json::from_value(json["log"].clone()).unwrap();
    assert_eq!(read, log);
}

#[test]
fn a_log_is_another_once_it_may_have_changed_elsewhere_than_at_its_end() {
    let mut log = Log::from(vec![1]);
    let before = log.id;
    log.push(2);
    log.extend([3, 4]);
    assert_eq!(log.id, before);
    assert_ne!(log.clone().id, before);
    log.make_mut().pop();
    assert_ne!(log.id, before);
    assert_eq!(*log, [1, 2, 3]);
    assert_ne!(Log::from(Vec::from(log)).id, before);
}
