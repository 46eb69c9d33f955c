//! What SQL gives as a value.

use serde_json::{Map, Value};

/// Takes the orders of keys out of a document, which an object has at most one of: the key U+0001 `o`.
pub fn without_orders(document: Value) -> Value {
    match document {
        Value::Array(items) => items.into_iter().map(without_orders).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            let members = members.filter(|(key, _)| key != "\u{1}o");
            let members = members.map(|(key, value)| (key, without_orders(value)));
            members.collect::<Map<_, _>>().into()
        }
        scalar => scalar,
    }
}
