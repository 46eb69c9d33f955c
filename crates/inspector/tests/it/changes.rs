//! Commands that change threads.

use std::time::Duration;

use checkpointer::serde_json::{Value, from_str, json};
use checkpointer::{AcquireLease, Checkpointer};

use crate::program::{Program, finished, head, with_support_thread};

const CHANGES: [&[&str]; 6] = [
    &["pin", "support-4711", "head~2"],
    &["retain", "support-4711", "--keep-last", "1", "--apply"],
    &["label", "support-4711", "customer=ann"],
    &["delete", "support-4711"],
    &["copy", "support-4711", "copy"],
    &["fork", "support-4711", "head~1"],
];

#[tokio::test]
async fn what_changes_something_is_refused_without_a_confirmation() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let before = head(&checkpointer, "support-4711").await;
    for args in CHANGES {
        let ran = program.run(args).await;
        assert_eq!(ran.code, 6, "{args:?} {ran:?}");
        assert!(ran.stderr.contains("add --yes"), "{args:?} {ran:?}");
    }
    assert_eq!(head(&checkpointer, "support-4711").await, before);
    assert_eq!(head(&checkpointer, "copy").await, None);
}

#[tokio::test]
async fn changes_that_are_confirmed_are_made() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;

    program
        .json(&["copy", "support-4711", "copy", "--yes"])
        .await;
    let copy = head(&checkpointer, "copy").await.unwrap();

    let forked = program
        .json(&[
            "fork",
            "copy",
            "head~2",
            "--set",
            r#"messages=["Where?"]"#,
            "--yes",
        ])
        .await;
    let fork = head(&checkpointer, "copy").await.unwrap();
    assert_eq!(
        forked[0]["head"]["checkpoint_id"],
        fork.address.checkpoint_id.as_str()
    );
    assert_ne!(fork.address, copy.address);
    let values = json!(fork.checkpoint.channel_values);
    assert_eq!(values, json!({ "messages": ["Where?"] }));

    program.json(&["delete", "copy", "--yes"]).await;
    assert_eq!(head(&checkpointer, "copy").await, None);
    assert!(head(&checkpointer, "support-4711").await.is_some());
}

#[tokio::test]
async fn a_fork_says_which_channels_are_new() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    for (set, note) in [
        (
            "mesages=[]",
            "note: the checkpoint has no channel `mesages`, so it is a new one\n",
        ),
        ("messages=[]", ""),
    ] {
        let ran = program
            .run(&["fork", "support-4711", "head", "--set", set, "--yes"])
            .await;
        assert_eq!((ran.code, &*ran.stderr), (0, note));
    }
}

#[tokio::test]
async fn several_threads_are_deleted_at_once_or_none_if_one_is_missing() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for thread in ["a", "b", "c"] {
        with_support_thread(&checkpointer, thread).await;
    }
    let ran = program.run(&["delete", "a", "b", "another", "--yes"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(head(&checkpointer, "a").await.is_some());
    let ran = program.run(&["delete", "a", "b"]).await;
    let question = "to delete 2 threads with everything in them: `a`, `b` needs a confirmation";
    assert!(ran.stderr.contains(question), "{ran:?}");
    let deleted = program.done(&["delete", "a", "b", "a", "--yes"]).await;
    assert_eq!(deleted, "deleted thread a\ndeleted thread b\n");
    for (thread, is_there) in [("a", false), ("b", false), ("c", true)] {
        assert_eq!(
            head(&checkpointer, thread).await.is_some(),
            is_there,
            "{thread}"
        );
    }
}

#[tokio::test]
async fn conflicts_with_other_programs_change_nothing_and_have_a_code() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    with_support_thread(&checkpointer, "copy").await;
    let acquire = AcquireLease::new("support-4711", Duration::from_secs(600)).unwrap();
    checkpointer.acquire_lease(acquire).await.unwrap();
    let before = head(&checkpointer, "support-4711").await;
    // A lease is about what is put, and about the whole thread.
    for args in &CHANGES[3..] {
        let args: Vec<_> = args.iter().copied().chain(["--yes"]).collect();
        let ran = program.run(&args).await;
        assert_eq!(ran.code, 4, "{args:?} {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{args:?} {ran:?}");
    }
    assert_eq!(head(&checkpointer, "support-4711").await, before);
}

#[tokio::test]
async fn a_thread_that_does_not_exist_is_not_deleted() {
    let program = Program::new().await;
    let ran = program.run(&["delete", "another", "--yes"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[tokio::test]
async fn a_label_adds_and_removes_members_and_finds_threads() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let set = [
        "label",
        "support-4711",
        "customer=ann",
        r#"{"vip":true}"#,
        "--yes",
    ];
    program.done(&set).await;
    let shown = program.done(&["label", "support-4711"]).await;
    assert_eq!(shown, "customer: \"ann\"\nvip: true\n");
    let found = program.json(&["threads", "--metadata", "vip=true"]).await;
    assert_eq!(found[0]["thread_id"], "support-4711");
    let removed = program
        .json(&["label", "support-4711", "--remove", "vip", "--yes"])
        .await;
    assert_eq!(removed[0]["metadata"], json!({ "customer": "ann" }));
    assert!(
        program
            .json(&["threads", "--metadata", "vip=true"])
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_policy_says_what_would_go_until_it_is_applied() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    program
        .done(&["pin", "support-4711", "head~2", "--yes"])
        .await;
    let history = program.done(&["history", "support-4711", "--ns", ""]).await;
    assert_eq!(history.matches("pinned").count(), 1, "{history}");

    for threads in [&["support-4711"][..], &[]] {
        let dry_run = [&["retain", "--keep-last", "1"], threads].concat();
        let would = program.json(&dry_run).await;
        assert_eq!(would[0]["applied"], false);
        assert_eq!(would[0]["threads"], 0);
        assert!(would[0]["checkpoints"].as_u64().unwrap() > 0, "{would:?}");
        let text = program.done(&dry_run).await;
        assert!(text.contains("add --apply"), "{text}");
    }
    assert_eq!(program.run(&["retain"]).await.code, 2);

    let removed = program
        .json(&["retain", "--keep-last", "1", "--apply", "--yes"])
        .await;
    assert_eq!(removed[0]["applied"], true);
    let left = program.json(&["history", "support-4711", "--ns", ""]).await;
    let left = left[0]["lines"][0]["nodes"].as_array().unwrap();
    assert_eq!(left.len(), 2, "the head and the pinned one: {left:?}");

    // What stood between them is gone, and so it is named by its id.
    let pinned = left[1]["checkpoint_id"].as_str().unwrap();
    let unpin = ["pin", "support-4711", pinned, "--off", "--yes"];
    program.done(&unpin).await;
}

#[tokio::test]
async fn a_policy_is_not_applied_if_one_of_the_threads_is_missing() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let before = program.json(&["history", "support-4711"]).await;
    let retain = ["retain", "support-4711", "another", "--keep-last", "1"];
    for more in [&[][..], &["--apply"], &["--apply", "--yes"]] {
        let ran = program.run(&[&retain, more].concat()).await;
        assert_eq!((ran.code, &*ran.stdout), (3, ""), "{ran:?}");
        assert_eq!(ran.stderr, "error: there is no thread `another`\n");
    }
    assert_eq!(program.json(&["history", "support-4711"]).await, before);
}

/// Lets the database refuse to remove checkpoints of a thread, with a code and a reason.
async fn refuse(program: &Program, thread: &str, code: &str) {
    let schema = program.test.schema();
    let sql = format!(
        "CREATE OR REPLACE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the auditor refuses' USING ERRCODE = '{code}'; END $$;
        CREATE OR REPLACE TRIGGER refuse BEFORE DELETE ON {schema}.checkpoints FOR EACH ROW
        WHEN (OLD.thread_id = '{thread}') EXECUTE FUNCTION {schema}.refuse()"
    );
    let observer = program.test.observer().await;
    observer.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_policy_that_fails_on_a_thread_says_why_and_which_were_not_tried() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for thread in ["a", "b", "c"] {
        with_support_thread(&checkpointer, thread).await;
    }
    let retain = async |more: &[&str]| {
        let retain = ["retain", "--keep-last", "1", "--apply", "--yes"];
        let mut command = program.command(&[&retain, more].concat());
        command.env("DB_RETRY_TIMEOUT", "0");
        let ran = finished(command.spawn().unwrap()).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        ran.stdout
    };
    // A code that passes for all threads at once, and one that is about the thread.
    refuse(&program, "a", "40001").await;
    let text = retain(&["a", "b", "c"]).await;
    assert!(text.contains("the auditor refuses (40001)"), "{text}");
    assert!(text.contains("\nnot tried: 2 threads\n"), "{text}");
    refuse(&program, "b", "P0001").await;
    let json = retain(&["a", "b", "c", "--json"]).await;
    let json: Value = from_str(&json).unwrap();
    assert_eq!(json["failed"][0]["thread_id"], "b");
    let error = json["failed"][0]["error"].as_str().unwrap();
    assert!(error.ends_with("the auditor refuses (P0001)"), "{error}");
    assert!(json["checkpoints"].as_u64().unwrap() > 0, "{json}");
}

#[tokio::test]
async fn what_a_policy_has_removed_is_told_though_another_program_took_over() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for n in 0..101 {
        let mut thread = checkpointer.thread(format!("support-{n}")).unwrap();
        thread.save(&vec![n]).await.unwrap();
    }
    let schema = program.test.schema();
    let sql = format!(
        "CREATE FUNCTION {schema}.take_over() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.token := 'another'; NEW.until := now() + interval '1 hour'; RETURN NEW; END $$;
        CREATE TRIGGER take_over BEFORE UPDATE ON {schema}.upkeep FOR EACH ROW
        WHEN (OLD.token IS NOT NULL AND NEW.token IS NULL) EXECUTE FUNCTION {schema}.take_over()"
    );
    let observer = program.test.observer().await;
    observer.batch_execute(&sql).await.unwrap();
    let retain = ["retain", "--delete-after", "0s", "--apply", "--yes"];
    let ran = program.run(&retain).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.starts_with("removed 100 threads"), "{ran:?}");
    assert!(ran.stderr.contains("another program is at work"), "{ran:?}");
    // Of a run that could do nothing there is nothing to tell.
    let ran = program.run(&retain).await;
    assert_eq!((ran.code, &*ran.stdout), (4, ""), "{ran:?}");
}

#[tokio::test]
async fn what_one_of_several_exceptions_names_is_not_touched() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for (thread, member) in [
        ("ann", "hold=true"),
        ("ben", "tier=gold"),
        ("eve", "tier=1"),
    ] {
        with_support_thread(&checkpointer, thread).await;
        program.done(&["label", thread, member, "--yes"]).await;
    }
    let delete = ["retain", "--delete-after", "0s", "--apply", "--yes"];
    let all = [&delete[..], &["--except", "{}"]].concat();
    assert_eq!(program.json(&all).await[0]["threads"], 0);
    let rest = [
        &delete[..],
        &["--except", "hold=true", "--except", "tier=gold"],
    ]
    .concat();
    assert_eq!(program.json(&rest).await[0]["threads"], 1);
    assert!(head(&checkpointer, "ann").await.is_some());
    assert!(head(&checkpointer, "ben").await.is_some());
    assert!(head(&checkpointer, "eve").await.is_none());
}

#[tokio::test]
async fn a_key_with_two_values_is_refused() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let before = head(&checkpointer, "support-4711").await;
    let two = ["plan=wait", "plan=\"act\""];
    let retain = ["retain", "--keep-last", "1", "--apply", "--yes"];
    for args in [
        [&retain[..], &["--only", two[0], "--only", two[1]]].concat(),
        [&retain[..], &["--except", r#"{"a":1,"a":2}"#]].concat(),
        [
            &["threads"][..],
            &["--metadata", two[0], "--metadata", two[1]],
        ]
        .concat(),
        [&["writes"][..], &["--state", two[0], "--state", two[1]]].concat(),
        [&["label", "support-4711", "--yes"][..], &two].concat(),
        vec!["label", "support-4711", two[0], "--remove", "plan", "--yes"],
        [
            &["fork", "support-4711", "head~1", "--yes"][..],
            &["--set", two[0], "--set", two[1]],
        ]
        .concat(),
    ] {
        let ran = program.run(&args).await;
        assert_eq!(ran.code, 2, "{args:?} {ran:?}");
    }
    assert_eq!(head(&checkpointer, "support-4711").await, before);
    let same = [
        "label",
        "support-4711",
        "plan=wait",
        "plan=\"wait\"",
        "--yes",
    ];
    program.done(&same).await;
}

#[tokio::test]
async fn a_change_is_made_as_a_whole_though_nobody_reads_on() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    // More lines than are kept before they are printed.
    let threads: Vec<_> = (0..400)
        .map(|n| format!("support-{n}-{}", "x".repeat(20)))
        .collect();
    for thread in &threads {
        let mut thread = checkpointer.thread(thread.as_str()).unwrap();
        thread.save(&vec![1]).await.unwrap();
    }
    let threads = threads.iter().map(String::as_str);
    let delete: Vec<_> = ["delete", "--yes"].into_iter().chain(threads).collect();
    let ran = program.unread(&delete).await;
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    assert_eq!(program.done(&["threads", "--json"]).await, "");
}
