//! Who gets the place of the lone write.

use super::Lone;

#[test]
fn a_write_that_was_admitted_before_a_close_and_is_offered_after_it_goes_to_a_task() {
    let lone = Lone::default();
    let _call = lone.begin();
    lone.seal();
    let offered = lone.offer("a write", |_| unreachable!("its caller may never poll it"));
    assert!(matches!(offered, Err("a write")));
}
