//! Any value, and any bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::msgpack::Writer;
use super::{Serialized, check, is_opaque};

/// A value of MessagePack.
#[derive(Debug, Clone)]
enum Node {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Ext(i8, Vec<u8>),
    /// An extension type whose content is a value.
    Nested(i8, Box<Node>),
}

impl Node {
    fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.into_bytes()
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Nil => writer.nil(),
            Self::Bool(bool) => writer.bool(*bool),
            Self::Unsigned(number) => writer.unsigned(*number),
            Self::Negative(number) => writer.negative(*number),
            Self::Float(float) => writer.float(*float),
            Self::Text(text) => writer.text(text).unwrap(),
            Self::Bytes(bytes) => writer.bytes(bytes).unwrap(),
            Self::Array(items) => {
                writer.array(items.len()).unwrap();
                items.iter().for_each(|item| item.write(writer));
            }
            Self::Map(pairs) => {
                writer.map(pairs.len()).unwrap();
                for (key, value) in pairs {
                    key.write(writer);
                    value.write(writer);
                }
            }
            Self::Ext(code, body) => writer.ext(*code, body).unwrap(),
            Self::Nested(code, body) => writer.ext(*code, &body.bytes()).unwrap(),
        }
    }
}

/// Numbers of every length, whatever their sign.
fn any_unsigned() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(number, shift)| number >> shift)
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c!]{0,3}",
        "\\PC{0,40}",
        Just("!order".to_owned()),
        Just("!".to_owned()),
        Just("v".to_owned()),
        Just("x".repeat(300)),
        any::<String>(),
    ]
}

fn any_leaf() -> impl Strategy<Value = Node> {
    prop_oneof![
        Just(Node::Nil),
        any::<bool>().prop_map(Node::Bool),
        any_unsigned().prop_map(Node::Unsigned),
        any_unsigned().prop_map(|number| Node::Negative(-1 - (number >> 1) as i64)),
        any::<u64>().prop_map(|bits| Node::Float(f64::from_bits(bits))),
        any::<f64>().prop_map(Node::Float),
        any_text().prop_map(Node::Text),
        vec(any::<u8>(), 0..40).prop_map(Node::Bytes),
        (any::<i8>(), vec(any::<u8>(), 0..20)).prop_map(|(code, body)| Node::Ext(code, body)),
    ]
}

/// What LangGraph puts into an extension type, or nearly that.
fn any_class(inner: impl Strategy<Value = Node>) -> impl Strategy<Value = Node> {
    let word = || prop_oneof!["[a-z.]{1,8}", any_text()].prop_map(Node::Text);
    let method = prop_oneof![Just("model_validate_json".to_owned()), "[a-z ]{0,8}"];
    let method = proptest::option::of(method.prop_map(Node::Text));
    (-1..9i8, word(), word(), inner, method).prop_map(|(code, module, name, content, method)| {
        let mut parts = vec![module, name, content];
        parts.extend(method);
        Node::Nested(code, Box::new(Node::Array(parts)))
    })
}

fn any_node() -> impl Strategy<Value = Node> {
    any_leaf().prop_recursive(4, 40, 6, |inner| {
        let text_map = vec((any_text().prop_map(Node::Text), inner.clone()), 0..5).boxed();
        prop_oneof![
            vec(inner.clone(), 0..18).prop_map(Node::Array),
            text_map.clone().prop_map(Node::Map),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Node::Map),
            any_class(inner.clone()),
            any_class(text_map.prop_map(Node::Map)),
            (0..9i8, inner).prop_map(|(code, body)| Node::Nested(code, Box::new(body))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_value_comes_back_and_is_readable(node in any_node()) {
        let form = check(&Serialized::new("msgpack", node.bytes()));
        let has_its_own_type = matches!(node, Node::Nil | Node::Bytes(_));
        prop_assert_eq!(is_opaque(&form), has_its_own_type);
    }

    #[test]
    fn any_bytes_come_back(
        type_name in prop_oneof![
            Just("msgpack"), Just("null"), Just("bytes"), Just("bytearray"), Just("json"),
            Just("pickle"), Just("msgpack+aes"), Just(""),
        ],
        bytes in vec(any::<u8>(), 0..60),
    ) {
        check(&Serialized::new(type_name, bytes));
    }

    #[test]
    fn a_damaged_value_comes_back(
        node in any_node(),
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = node.bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        check(&Serialized::new("msgpack", bytes));
    }
}
