//! The referee and the racers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use checkpointer::{Checkpointer, GetTuple, MemoryCheckpointer, ThreadId};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Answer, Race, race_on};

fn won(id: &str) -> Answer {
    Answer::Won(id.to_owned())
}

fn lost(to: &str) -> Answer {
    Answer::LostTo(to.to_owned())
}

#[track_caller]
fn check(answers: &[Answer], head: &str, expected: &[&str]) {
    let mut race = Race {
        won: vec![0; answers.len()],
        ..Race::default()
    };
    race.judge(7, "before", answers, head);
    assert_eq!(race.violations, expected);
}

#[test]
fn a_referee_sees_what_must_not_happen() {
    check(&[won("a"), lost("a")], "a", &[]);
    check(&[lost("before"), lost("before")], "before", &[]);
    check(
        &[won("a"), won("b")],
        "b",
        &["round 7: 2 racers won: [\"a\", \"b\"]"],
    );
    check(
        &[won("a"), lost("b")],
        "a",
        &["round 7: lost to `b`, not to `a`"],
    );
    check(
        &[won("a"), lost("a")],
        "b",
        &["round 7: the head is `b`, not `a`"],
    );
    check(
        &[won("a"), Answer::Failed("no".to_owned())],
        "a",
        &["round 7: racer 1 failed: no"],
    );
}

#[tokio::test]
async fn a_racer_puts_after_each_head_that_it_is_told() {
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("race").unwrap();
    let mut answers = Vec::new();
    // The second and the third time the head is what it was made by the first.
    let heads = BufReader::new(&b"\n\n\n"[..]).lines();
    race_on(&checkpointer, &thread_id, heads, &mut answers)
        .await
        .unwrap();
    let head = checkpointer
        .get_tuple(GetTuple::head(&thread_id).unwrap())
        .await;
    let head = head.unwrap().unwrap().checkpoint.id;
    let answers = String::from_utf8(answers).unwrap();
    let answers: Vec<_> = answers.lines().map(Answer::from_line).collect();
    let lost = || Some(lost(head.as_str()));
    assert_eq!(answers, [Some(won(head.as_str())), lost(), lost()]);
}
