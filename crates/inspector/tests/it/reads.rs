//! Commands that only read.

use checkpointer::serde_json::{Value, from_str, json};

use crate::program::{Program, finished, head, with_support_thread};

#[tokio::test]
async fn every_command_that_reads_prints_text_and_json() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    for args in [
        &["threads"][..],
        &[
            "threads", "--since", "1h", "--sort", "oldest", "--limit", "1",
        ],
        &["threads", "--state", "plan=look it up"],
        &["history", "support-4711"],
        &["history", "support-4711", "--ns", "research:task-1"],
        &["show", "support-4711"],
        &["show", "support-4711", "head~2", "--channel", "messages"],
        &["show", "support-4711", "--ns", "research:task-1"],
        &["diff", "support-4711"],
        &["diff", "support-4711", "head~2", "head", "--full"],
        &["writes"],
        &["size", "support-4711"],
        &["size", "support-4711", "head~1"],
        &["size", "support-4711", "--ns", "research:task-1"],
        &["threads", "--sort", "size"],
        &["history", "support-4711", "--changed", "plan"],
        &[
            "history",
            "support-4711",
            "--step",
            "-1..0",
            "--text",
            "where is",
        ],
        &["writes", "--sort", "oldest"],
        &["verify"],
        &["verify", "support-4711"],
        &["history", "support-4711", "--metadata", "run_id"],
        &["writes", "support-4711", "--waiting"],
        &["watch", "support-4711", "--limit", "1"],
        &["migrate", "check"],
    ] {
        let text = program.done(args).await;
        assert!(!text.trim().is_empty(), "{args:?}");
        assert!(!text.contains('\u{1b}'), "{args:?} {text}");
        let json = program.json(args).await;
        assert!(
            !json.is_empty() && json.iter().all(|value| value.is_object()),
            "{args:?}"
        );
    }
}

#[tokio::test]
async fn a_history_shows_the_subgraph_where_it_was_called() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let text = program.done(&["history", "support-4711"]).await;
    let shapes: Vec<_> = text
        .lines()
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    assert_eq!(shapes, ["●", "●", "│", "│", "●"], "{text}");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert!(lines[2].ends_with("namespace research:task-1"), "{text}");
    assert!(lines[3].contains("●"), "{text}");
}

#[tokio::test]
async fn who_waits_is_found_with_the_question() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let waiting = program.json(&["writes", "--waiting"]).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["at"]["thread_id"], "support-4711");
    assert_eq!(
        waiting[0]["tasks"][0]["question"],
        json!("Refund the order?")
    );
}

#[tokio::test]
async fn threads_are_picked_and_sorted() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for thread in ["a", "b", "c"] {
        with_support_thread(&checkpointer, thread).await;
    }
    let names = async |args: &[&str]| -> Vec<String> {
        let threads = program.json(args).await;
        (threads.iter())
            .map(|thread| thread["thread_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&["threads"]).await, ["c", "b", "a"]);
    assert_eq!(
        names(&["threads", "--sort", "oldest", "-n", "2"]).await,
        ["a", "b"]
    );
    assert!(names(&["threads", "--until", "1h"]).await.is_empty());
    assert!(
        names(&["threads", "--state", "plan=other"])
            .await
            .is_empty()
    );
    let text = program.done(&["threads", "-n", "1"]).await;
    assert!(text.contains("there are more"), "{text}");
}

#[tokio::test]
async fn threads_are_sorted_by_what_they_take() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "small").await;
    let pages: Vec<_> = (0..5_000)
        .map(|n| format!("page {n} of {}", n * n))
        .collect();
    let mut report = checkpointer.thread("report-9").unwrap();
    report.save(&pages).await.unwrap();
    with_support_thread(&checkpointer, "small-2").await;
    let threads = program.json(&["threads", "--sort", "size"]).await;
    assert_eq!(threads.len(), 3);
    assert_eq!(threads[0]["thread_id"], "report-9");
    let size = program.json(&["size", "report-9"]).await;
    assert_eq!(size[0], threads[0]["size"]);
    assert_eq!(size[0]["checkpoints"], 1);
    let text = program
        .done(&["threads", "--sort", "size", "-n", "1"])
        .await;
    assert!(
        text.contains("report-9") && !text.contains("small"),
        "{text}"
    );
    assert!(text.ends_with("all 3 threads were measured\n"), "{text}");
    assert_eq!(program.run(&["size", "another"]).await.code, 3);
}

#[tokio::test]
async fn a_history_is_restricted_to_what_is_looked_for() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let steps = async |args: &[&str]| -> Vec<i64> {
        let args = [&["history", "support-4711"], args].concat();
        let history = program.json(&args).await;
        let lines = history[0]["lines"].as_array().unwrap().iter();
        let nodes = lines.flat_map(|line| line["nodes"].as_array().unwrap());
        nodes
            .map(|node| node["metadata"]["step"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(steps(&["--changed", "messages"]).await, [1, -1]);
    assert_eq!(steps(&["--step", "..-1"]).await, [-1]);
    assert_eq!(steps(&["--text", "ON ITS WAY"]).await, [1]);
    assert_eq!(steps(&["--text", "found"]).await, [0]);
    assert_eq!(steps(&["--source", "loop", "-n", "1"]).await, [1]);
    let none = program.run(&["history", "support-4711", "--pinned"]).await;
    assert_eq!(none.code, 3, "{none:?}");
}

#[tokio::test]
async fn exit_codes_say_what_is_wrong() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let unreachable = [
        ("DATABASE_URL", "postgres://x@127.0.0.1:1/x"),
        ("DB_STARTUP_TIMEOUT", "0"),
    ];
    for (args, variables, code) in [
        (&["diff", "support-4711", "--exit-code"][..], &[][..], 1),
        (
            &["diff", "support-4711", "head", "head", "--exit-code"],
            &[],
            0,
        ),
        (&["threads", "--since", "yesterday"], &[], 2),
        (&["unknown"], &[], 2),
        (&["show", "another"], &[], 3),
        (&["history", "another"], &[], 3),
        (&["show", "support-4711", "another"], &[], 3),
        (&["diff", "support-4711", "head~2"], &[], 3),
        (&["copy", "support-4711", "support-4711-2"], &[], 6),
        (&["threads"], &unreachable, 5),
        (&["threads"], &[("DATABASE_URL", "")], 1),
    ] {
        let mut command = program.command(args);
        command.envs(variables.iter().copied());
        let ran = finished(command.spawn().unwrap()).await;
        assert_eq!(ran.code, code, "{args:?} {ran:?}");
        let is_quiet = code == 0 || args.contains(&"--exit-code");
        assert_eq!(ran.stderr.is_empty(), is_quiet, "{args:?} {ran:?}");
    }
}

#[tokio::test]
async fn colours_come_only_if_they_are_wanted() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    for (variables, coloured) in [
        (&[("CLICOLOR_FORCE", "1")][..], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[], false),
    ] {
        let mut command = program.command(&["diff", "support-4711"]);
        command.envs(variables.iter().copied());
        let ran = finished(command.spawn().unwrap()).await;
        assert_eq!(ran.stdout.contains('\u{1b}'), coloured, "{variables:?}");
    }
}

#[tokio::test]
async fn a_reader_that_has_read_enough_is_no_failure() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let ran = program.unread(&["show", "support-4711"]).await;
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let differs = ["diff", "support-4711", "--exit-code"];
    assert_eq!(program.unread(&differs).await.code, 1);
}

#[tokio::test]
async fn completions_and_the_manual_need_no_database() {
    let program = Program::without_tables().await;
    for args in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["man"],
        &["man", "diff"],
    ] {
        let mut command = program.command(args);
        let ran = finished(command.env_remove("DATABASE_URL").spawn().unwrap()).await;
        assert_eq!(ran.code, 0, "{args:?} {ran:?}");
        assert!(ran.stdout.contains("checkpointer"), "{args:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_found_and_does_not_hide_the_rest() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let pages: Vec<_> = (0..500)
        .map(|page| format!("page {page}: {}", "x".repeat(90)))
        .collect();
    checkpointer
        .thread("report-9")
        .unwrap()
        .save(&pages)
        .await
        .unwrap();
    let sql = format!("DELETE FROM {}.chunks", program.test.schema());
    program
        .test
        .observer()
        .await
        .batch_execute(&sql)
        .await
        .unwrap();

    let ran = program.run(&["verify", "--json"]).await;
    assert_eq!((ran.code, &*ran.stderr), (1, ""), "{ran:?}");
    let lines: Vec<Value> = (ran.stdout.lines())
        .map(|line| from_str(line).unwrap())
        .collect();
    let found = &lines[0]["finding"];
    assert_eq!(found["thread_id"], "report-9");
    assert_eq!(found["kind"], "checkpoint_unreadable");
    assert_eq!(found["damage"], true);
    let read = &lines[1]["read"];
    let counts = ["threads", "checkpoints", "damaged", "repaired"].map(|name| &read[name]);
    assert_eq!(json!(counts), json!([2, 5, 1, 0]));
    assert_eq!(program.run(&["verify", "support-4711"]).await.code, 0);
}

#[tokio::test]
async fn a_thread_that_is_not_there_is_not_said_to_be_sound() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    for thread in ["support-4711", "deleted"] {
        with_support_thread(&checkpointer, thread).await;
    }
    program.done(&["delete", "deleted", "--yes"]).await;
    let verify = ["verify", "deleted", "support-4711", "suport-4711"];
    let ran = program.run(&verify).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let missing = "error: no such thread, or it was deleted: `deleted`, `suport-4711`\n";
    assert_eq!(ran.stderr, missing);
    assert!(ran.stdout.contains("of 1 thread;"), "{ran:?}");

    // Damage is said all the same, and has its code.
    let sql = format!("DELETE FROM {}.heads", program.test.schema());
    let observer = program.test.observer().await;
    observer.batch_execute(&sql).await.unwrap();
    let ran = program.run(&verify).await;
    assert_eq!((ran.code, &*ran.stderr), (1, missing), "{ran:?}");
    assert!(ran.stdout.contains("head_missing"), "{ran:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_wrong_usage() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let head = head(&checkpointer, "support-4711").await.unwrap();
    let start_of_all = &head.address.checkpoint_id.as_str()[..1];
    for args in [
        &["man", "nonsense"][..],
        &["show", "support-4711", "--channel", "nonsense"],
        &["show", "support-4711", start_of_all],
        &["serve", "--listen", "192.0.2.1:80"],
        &["serve", "--listen", "0.0.0.0:80", "--token"],
    ] {
        let ran = program.run(args).await;
        assert_eq!(ran.code, 2, "{args:?} {ran:?}");
    }
}

#[tokio::test]
async fn a_repair_makes_a_head_again() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let history = program.done(&["history", "support-4711"]).await;
    let sql = format!("DELETE FROM {}.heads", program.test.schema());
    let observer = program.test.observer().await;
    observer.batch_execute(&sql).await.unwrap();

    assert_eq!(program.unread(&["verify"]).await.code, 1);
    let found = program.run(&["verify"]).await;
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains("head_missing"), "{found:?}");
    let repaired = program.done(&["verify", "--repair"]).await;
    assert!(repaired.contains("  repaired\n"), "{repaired}");
    assert_eq!(program.run(&["verify"]).await.code, 0);
    assert_eq!(program.done(&["history", "support-4711"]).await, history);
}

#[tokio::test]
async fn further_findings_that_only_take_room_are_no_damage_and_are_removed() {
    let program = Program::new().await;
    with_support_thread(&program.checkpointer().await, "support-4711").await;
    let sql = format!(
        "INSERT INTO {}.pending_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, idx,
            task_path, channel, value, written_at)
        SELECT 'support-4711', '', 'lost ' || n, 'task', 0, '', 'a', '[1]', now() - interval '9 days'
        FROM generate_series(1, 1003) AS n",
        program.test.schema()
    );
    let observer = program.test.observer().await;
    observer.batch_execute(&sql).await.unwrap();

    let found = program.json(&["verify"]).await;
    let further = found.iter().find_map(|line| line.get("further"));
    let expected = json!({ "thread_id": "support-4711", "findings": 3, "damage": 0 });
    assert_eq!(further, Some(&expected));
    let repaired = program.done(&["verify", "--repair"]).await;
    assert!(
        repaired.contains("support-4711: and 3 more\n"),
        "{repaired}"
    );
    let found = program.json(&["verify"]).await;
    assert_eq!(found.len(), 1, "{found:?}");
}
