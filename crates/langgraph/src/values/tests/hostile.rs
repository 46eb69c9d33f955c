//! Bytes and JSON that no serialiser wrote.

use serde_json::{Value, json};

use super::super::Malformed;
use super::{Serialized, check, is_opaque};
use crate::Error;

fn msgpack(bytes: impl Into<Vec<u8>>) -> Serialized {
    Serialized::new("msgpack", bytes)
}

#[test]
fn nesting_without_end_is_kept_as_it_is() {
    for head in [
        &[0x91][..],
        &[0x81, 0x00],
        &[0x81, 0xa1, b'a'],
        &[0xdc, 0xff, 0xff],
    ] {
        let form = check(&msgpack(head.repeat(1 << 20)));
        assert!(is_opaque(&form));
    }
}

#[test]
fn extension_types_without_end_are_kept_as_they_are() {
    let mut body = vec![0xc0];
    for _ in 0..300 {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        body = match body.len() {
            1 => [&[0xd4, 7][..], &body].concat(),
            2 | 4 | 8 | 16 => [&[0xd4 + body.len().ilog2() as u8, 7][..], &body].concat(),
            0..256 => [&[0xc7, length[3], 7][..], &body].concat(),
            _ => [&[0xc8, length[2], length[3], 7][..], &body].concat(),
        };
        check(&msgpack(body.clone()));
    }
}

/// Were each map tried twice, as an object and as what isn't one, this wouldn't end.
#[test]
fn maps_in_maps_are_read_once() {
    let mut bytes = vec![0xc0];
    for _ in 0..30 {
        bytes = [&[0x82, 0xa1, b'a'][..], &bytes, &[0x01, 0x02]].concat();
    }
    assert!(!is_opaque(&check(&msgpack(bytes))));
}

#[test]
fn lengths_are_believed_only_as_far_as_there_are_bytes() {
    for marker in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        let form = check(&msgpack([marker, 0xff, 0xff, 0xff, 0xff, 0x00]));
        assert!(is_opaque(&form));
    }
}

/// A list of `count` items.
fn list(count: usize, item: &[u8]) -> Serialized {
    let length = u32::try_from(count).unwrap().to_be_bytes();
    msgpack([&[0xdd][..], &length, &item.repeat(count)].concat())
}

#[test]
fn what_would_need_much_memory_is_kept_as_it_is() {
    assert!(is_opaque(&list(2_000_000, &[0x80]).to_json()));
}

#[test]
fn bodies_of_extension_types_take_their_memory_from_the_same_limit() {
    let body = list(100_000, &[0x80]).bytes;
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let snapshot = [&[0xc9][..], &length, &[7], &body].concat();
    assert!(!is_opaque(&msgpack(snapshot.clone()).to_json()));
    assert!(is_opaque(
        &msgpack([vec![0xdc, 0, 20], snapshot.repeat(20)].concat()).to_json()
    ));
}

#[test]
fn a_long_list_is_read() {
    let form = list(1_000_000, &[0x01]).to_json();
    assert_eq!(form.as_array().map(Vec::len), Some(1_000_000));
}

#[test]
fn every_beginning_of_a_value_is_kept_as_it_is() {
    let value = json!({"b": [1, 2.5, -300, "text", null], "a": {"!": "bytes", "v": "AA=="}, "c": 1u64 << 40});
    let whole = Serialized::from_json(&json!([{"!": "1 m n", "v": [{"!": "dict", "v": value}]}]));
    let whole = whole.unwrap();
    assert!(!is_opaque(&check(&whole)));
    for end in 0..whole.bytes.len() {
        assert!(is_opaque(&check(&msgpack(&whole.bytes[..end]))));
    }
}

#[track_caller]
fn check_refused(form: Value, expected: Malformed) {
    match Serialized::from_json(&form) {
        Err(Error::MalformedValue { source }) => assert_eq!(source, expected, "{form}"),
        other => panic!("{other:?} for {form}"),
    }
}

#[test]
fn json_that_is_no_form_is_refused() {
    for tag in [
        json!("set"),
        json!(1),
        json!("5 m"),
        json!("0 m n o"),
        json!("8 m n"),
    ] {
        check_refused(json!({ "!": tag, "v": 1 }), Malformed::UnknownTag);
    }
    for form in [
        json!({ "!": "bytes" }),
        json!({ "!": "bytes", "v": 1 }),
        json!({ "!": "bytes", "v": "", "w": 1 }),
        json!({ "!": "0 m n", "w": 1 }),
        json!({ "!": "float", "v": "1.5" }),
        json!({ "!": "map", "v": [[1]] }),
        json!({ "!": "dict", "v": [] }),
        json!({ "!": "ext", "code": 128, "v": "" }),
        json!({ "!": "6", "dtype": "<i4", "shape": [], "v": "" }),
        json!({ "!": "opaque", "v": "" }),
    ] {
        check_refused(form, Malformed::Members);
    }
    check_refused(json!({ "!": "bytes", "v": "AA" }), Malformed::Base64);
    check_refused(json!({ "!v": 1 }), Malformed::ReservedKey);
    check_refused(json!([{ "!": "json", "v": "1" }]), Malformed::Misplaced);
    check_refused(json!([{ "!": "bytearray", "v": "" }]), Malformed::Misplaced);
    check_refused(
        json!([{ "!": "opaque", "type": "zstd", "v": "" }]),
        Malformed::Misplaced,
    );
    for order in ["0", "0 0", "0 2", "0 1 2", "", "0  1", "-1 0", "a b"] {
        check_refused(json!({ "a": 1, "b": 2, "!order": order }), Malformed::Order);
    }
}

#[test]
fn json_that_is_nested_too_deep_is_refused() {
    let nest = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    assert!(Serialized::from_json(&nest(100)).is_ok());
    check_refused(nest(101), Malformed::TooDeep);
}

/// A list of forms, of which one was kept as it was because it is nested deep.
#[test]
fn an_opaque_item_of_a_list_is_written_as_it_was() {
    let deep = [vec![0x91; 200], vec![0x01]].concat();
    let item = msgpack(deep.clone()).to_json();
    assert!(is_opaque(&item));
    let list = Serialized::from_json(&json!([1, item])).unwrap();
    assert_eq!(list.bytes, [vec![0x92, 0x01], deep].concat());
}
