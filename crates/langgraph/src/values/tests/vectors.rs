//! What LangGraph's own serialiser wrote.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use expect_test::expect_file;
use serde::Deserialize;

use super::super::bytes::from_text;
use super::{Serialized, check, is_opaque};

#[derive(Deserialize)]
struct Vector {
    name: String,
    r#type: String,
    bytes: String,
}

fn vectors() -> Vec<(String, Serialized)> {
    // Of the checkout that cargo runs this in: another one may share its target folder.
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let file = package.join("vectors/serialized.json");
    let vectors: Vec<Vector> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let vectors = vectors.into_iter();
    vectors
        .map(|vector| {
            let bytes = from_text(&vector.bytes).unwrap();
            (vector.name, Serialized::new(vector.r#type, bytes))
        })
        .collect()
}

/// The forms are a stored format: one that is in the file doesn't change any more.
#[test]
fn each_vector_has_its_form_and_comes_back() {
    let mut forms = Vec::new();
    for (name, serialized) in vectors() {
        let form = check(&serialized);
        let name = serde_json::to_string(&name).unwrap();
        let mut line = String::new();
        write!(line, "{name}: {form}").unwrap();
        forms.push(line);
    }
    let forms = format!("{{\n{}\n}}\n", forms.join(",\n"));
    expect_file!["../../../vectors/forms.json"].assert_eq(&forms);
}

#[test]
fn whatever_the_serialiser_writes_is_readable() {
    let opaque = vectors().into_iter().filter_map(|(name, serialized)| {
        let is_msgpack = serialized.type_name == "msgpack";
        (is_msgpack && is_opaque(&serialized.to_json())).then_some(name)
    });
    let opaque: Vec<_> = opaque.collect();
    let opaque = opaque.join("\n");
    expect_test::expect![[r#"
        nested 101 deep
        nested 200 deep
        null as msgpack
        bytes as msgpack
        not the shortest integer
        a positive integer as a signed one
        not the shortest length
        not the shortest extension type
        a float of 32 bits
        cut off
        cut off inside an extension type
        followed by something
        empty
        a length of 4 GiB
        text of 4 GiB
        text that isn't UTF-8
        the byte that is nothing"#]]
    .assert_eq(&opaque);
}

#[test]
fn the_form_of_a_list_is_the_list_of_its_forms() {
    let all = vectors();
    let items = all
        .iter()
        .filter(|(_, item)| matches!(item.type_name.as_str(), "msgpack" | "null"))
        .filter(|(_, item)| !is_opaque(&item.to_json()))
        .filter(|(name, _)| !name.contains("100 deep"));
    let items: Vec<_> = items.map(|(_, item)| item).collect();

    // An array of up to 65,535 items has a head of three bytes.
    let length = u16::try_from(items.len()).unwrap();
    let mut list = [&[0xdc][..], &length.to_be_bytes()].concat();
    for item in &items {
        let bytes = if item.type_name == "null" {
            &[0xc0]
        } else {
            &item.bytes[..]
        };
        list.extend_from_slice(bytes);
    }
    let form = check(&Serialized::new("msgpack", list));
    let forms: Vec<_> = items.iter().map(|item| item.to_json()).collect();
    assert_eq!(form, serde_json::Value::Array(forms));
}
