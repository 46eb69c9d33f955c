use std::collections::{BTreeMap, HashSet};

use expect_test::{Expect, expect};
use serde_json::json;

use super::{Sent, messages, send};
use crate::codec::{self, ContentHash};
use crate::postgres::chunk::{Kind, Reference, items_hash, node_hash, pack};
use crate::postgres::encode::NewChunk;

/// The error of a read, which has no other cause; the hash of the damaged chunk is left out.
#[track_caller]
fn check(sent: &Sent, damaged: ContentHash, expected: Expect) {
    let error = sent.read().unwrap_err();
    assert!(std::error::Error::source(&error).is_none());
    expected.assert_eq(&error.to_string().replace(&damaged.to_string(), "<hash>"));
}

/// What is stored of a long list, with the hash of a leaf and of a node.
fn long_list() -> (Sent, ContentHash, ContentHash) {
    let sent = send(&messages(0..500));
    let find = |is: fn(&NewChunk) -> bool| {
        let found = sent.chunks.iter().find(|(_, chunk)| is(chunk));
        *found.unwrap().0
    };
    let (leaf, node) = (
        find(|chunk| chunk.refs.is_none()),
        find(|chunk| chunk.content.is_none()),
    );
    (sent, leaf, node)
}

impl Sent {
    fn damage(&mut self, hash: ContentHash, content: Option<&[u8]>, refs: Option<&[u8]>) {
        let damaged = NewChunk {
            content: content.map(<[u8]>::to_vec),
            refs: refs.map(<[u8]>::to_vec),
        };
        self.chunks.insert(hash, damaged);
    }
}

#[test]
fn a_missing_chunk_is_an_error_that_names_it() {
    let (mut sent, leaf, node) = long_list();
    let removed = sent.chunks.remove(&leaf).unwrap();
    check(
        &sent,
        leaf,
        expect!["stored content of thread `thread` can't be read: channel `a` misses chunk <hash>"],
    );
    sent.chunks.insert(leaf, removed);
    sent.chunks.remove(&node);
    check(
        &sent,
        node,
        expect!["stored content of thread `thread` can't be read: channel `a` misses chunk <hash>"],
    );
}

#[test]
fn an_altered_leaf_is_an_error_that_names_it() {
    let (mut sent, leaf, _) = long_list();
    let content = sent.chunks[&leaf].content.clone().unwrap();
    let altered = String::from_utf8(content).unwrap().replace("m-", "n-");
    sent.damage(leaf, Some(altered.as_bytes()), None);
    check(
        &sent,
        leaf,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has chunk <hash>, whose content doesn't match its hash"
        ],
    );
    sent.damage(leaf, Some(b"[]"), None);
    check(
        &sent,
        leaf,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has chunk <hash>, whose content doesn't match its hash"
        ],
    );
    sent.damage(leaf, Some(b"1"), None);
    check(
        &sent,
        leaf,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has an unknown form of chunk, <hash>"
        ],
    );
    sent.damage(leaf, Some(b"{\"m\":1}"), None);
    check(
        &sent,
        leaf,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has an unknown form of chunk, <hash>"
        ],
    );
    sent.damage(leaf, None, None);
    check(
        &sent,
        leaf,
        expect!["stored content of thread `thread` can't be read: chunk <hash> is empty"],
    );
    sent.damage(leaf, None, Some(&[0; 16]));
    check(
        &sent,
        leaf,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has a node, chunk <hash>, for a leaf"
        ],
    );
}

#[test]
fn an_altered_node_is_an_error_that_names_it() {
    let (mut sent, _, node) = long_list();
    let refs = sent.chunks[&node].refs.clone().unwrap();
    sent.damage(node, None, Some(&refs[16..]));
    check(
        &sent,
        node,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has chunk <hash>, whose content doesn't match its hash"
        ],
    );
    sent.damage(node, None, Some(&refs[1..]));
    check(
        &sent,
        node,
        expect!["stored content of thread `thread` can't be read: chunk <hash> holds half a hash"],
    );
    sent.damage(node, Some(b"[1]"), None);
    check(
        &sent,
        node,
        expect![
            "stored content of thread `thread` can't be read: channel `a` has a leaf, chunk <hash>, for a node"
        ],
    );
}

#[test]
fn a_reference_in_another_form_is_an_error() {
    let mut sent = send(&json!(1));
    for (stored, expected) in [
        (
            "null",
            expect![
                "stored content of thread `thread` can't be read: channel `a` is stored in an unknown form"
            ],
        ),
        (
            "[]",
            expect![
                "stored content of thread `thread` can't be read: channel `a` is stored in an unknown form"
            ],
        ),
        (
            "{}",
            expect![
                "stored content of thread `thread` can't be read: channel `a` has a reference in an unknown form"
            ],
        ),
        (
            r#"{"k":"?","d":0,"r":""}"#,
            expect![
                "stored content of thread `thread` can't be read: channel `a` has a reference in an unknown form"
            ],
        ),
        (
            r#"{"k":"v","d":0,"r":""}"#,
            expect![
                "stored content of thread `thread` can't be read: channel `a` refers to no chunk"
            ],
        ),
        (
            r#"{"k":"a","d":256,"r":""}"#,
            expect![
                "stored content of thread `thread` can't be read: channel `a` has a reference in an unknown form"
            ],
        ),
        (
            r#"{"k":"a","d":0,"r":"AAAA"}"#,
            expect![
                "stored content of thread `thread` can't be read: channel `a` has a reference in an unknown form"
            ],
        ),
    ] {
        sent.stored = stored.as_bytes().to_vec();
        check(&sent, codec::hash(&json!(1)), expected);
    }
}

/// A few rows whose hashes are right, but each of which names the next one many times.
#[test]
fn chunks_that_stand_for_more_than_any_value_are_refused() {
    const LEVELS: u8 = 10;
    let item = json!("x".repeat(1000));
    let mut top = items_hash(std::iter::once(&codec::hash(&item)));
    let content = json!([item]).to_string().into_bytes();
    let leaf = NewChunk {
        content: Some(content),
        refs: None,
    };
    let mut chunks = BTreeMap::from([(top, leaf)]);
    for _ in 0..LEVELS {
        let children = vec![top; 64];
        top = node_hash(children.iter());
        let node = NewChunk {
            content: None,
            refs: Some(pack(&children)),
        };
        chunks.insert(top, node);
    }
    let reference = Reference {
        kind: Kind::Array,
        nested: false,
        depth: LEVELS,
        parts: vec![top],
    };
    let mut stored = Vec::new();
    reference.write(&mut stored);
    let sent = Sent {
        stored,
        chunks,
        relied: HashSet::new(),
    };
    check(
        &sent,
        top,
        expect![
            "stored content of thread `thread` can't be read: channel `a` is larger than any that is stored"
        ],
    );
}
