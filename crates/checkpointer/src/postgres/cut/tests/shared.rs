//! A value that several checkpoints or pending writes have.

use std::sync::Arc;

use super::{messages, send, thread};
use crate::postgres::decode::Decoder;

#[test]
fn what_is_read_together_shares_its_equal_values() {
    let sent = send(&messages(0..20));
    let channels = [b"{\"a\":", &sent.stored[..], b"}"].concat();
    for (mut decoder, shares) in [(Decoder::of_many(), true), (Decoder::of_one(), false)] {
        sent.chunks_for(&mut decoder).unwrap();
        let [one, other] = [(); 2].map(|()| decoder.channels(&thread(), &channels).unwrap().values);
        assert_eq!(one["a"], messages(0..20));
        assert_eq!(one, other);
        let [one, other] = [&one, &other].map(|values| values.get_shared("a").unwrap());
        assert_eq!(Arc::ptr_eq(one, other), shares);
        let [write, other] = [(); 2].map(|()| decoder.value(&thread(), &sent.stored, "b").unwrap());
        assert_eq!(*write, messages(0..20));
        assert_eq!(Arc::ptr_eq(&write, &other), shares);
        assert_eq!(Arc::ptr_eq(&write, one), shares);
    }
}
