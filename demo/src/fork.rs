//! The second half of the demonstration: back to an earlier checkpoint, and on from there in
//! another direction.

use std::io::{Write, stdout};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use checkpointer::CheckpointTuple;

use crate::agent::{self, Finding, Gate};
use crate::child::Seen;
use crate::demo::{Demo, summary};
use crate::graph::Outcome;
use crate::history;
use crate::report;
use crate::summary::Scope;
use crate::tree;

/// Forks the thread where its audits were done, compares the branches, and checks that both remain.
pub(crate) async fn run(demo: &mut Demo) -> Result<()> {
    let before = history::list(&demo.checkpointer, &demo.thread_id).await?;
    writeln!(
        stdout(),
        "\n4. The history, newest first\n{}",
        history::table(&before)
    )?;
    let first = demo.head().await?;
    let from = made_by(agent::AUDIT, &before).context("no checkpoint of the audits")?;
    let from = demo.at(from).await?;
    let findings: Vec<Finding> = agent::read(&from.checkpoint.channel_values, agent::FINDINGS)?;
    let scope = other_scope(&findings)?;
    writeln!(
        stdout(),
        "5. Back to step {}, and on from there {scope}",
        from.metadata.step().unwrap_or_default()
    )?;
    let seen = branch_off(demo, &from, &first, &scope).await?;
    let second = demo.head().await?;
    let after = history::list(&demo.checkpointer, &demo.thread_id).await?;
    writeln!(stdout(), "{}", history::table(&after))?;
    check(demo, &from, &first, &second, &seen).await?;

    writeln!(stdout(), "6. The report")?;
    let reported = agent::read::<String>(&first.checkpoint.channel_values, agent::REPORT);
    writeln!(
        stdout(),
        "{}",
        reported
            .as_deref()
            .unwrap_or("   not published: it wasn't approved\n")
    )?;
    writeln!(stdout(), "7. The two branches\n")?;
    write!(
        stdout(),
        "{}",
        report::comparison(&summary(&first)?, &summary(&second)?)
    )?;
    Ok(())
}

/// The newest checkpoint a node made.
pub(crate) fn made_by<'a>(
    node: &str,
    history: &'a [CheckpointTuple],
) -> Option<&'a CheckpointTuple> {
    let mut history = history.iter();
    history.find(|tuple| {
        tuple
            .metadata
            .get("node")
            .is_some_and(|made_by| made_by == node)
    })
}

/// What the second branch leaves out: tests, or where there are none the largest file.
fn other_scope(findings: &[Finding]) -> Result<Scope> {
    let mut sources = findings.iter().flat_map(|finding| &finding.sources);
    if sources.clone().any(|source| tree::is_test(&source.path)) {
        return Ok(Scope::WithoutTests);
    }
    let largest = sources.by_ref().max_by_key(|source| source.bytes);
    let largest = largest.context("nothing was audited")?;
    Ok(Scope::Without(largest.path.clone()))
}

/// Forks at `from` with another scope, and runs the fork to its end in this process.
async fn branch_off(
    demo: &Demo,
    from: &CheckpointTuple,
    head: &CheckpointTuple,
    scope: &Scope,
) -> Result<Seen> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&seen);
    let graph = agent::graph(Arc::clone(&demo.checkpointer), Gate::open(), move |event| {
        noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&event);
    });
    let changes = vec![(agent::SCOPE.to_owned(), serde_json::to_value(scope)?)];
    graph
        .fork(from, &head.address.checkpoint_id, changes)
        .await?;
    let mut answer = None;
    while let Outcome::Interrupted(question) = graph.resume(&demo.thread_id, answer).await? {
        let question = question.as_str().unwrap_or_default();
        writeln!(stdout(), "   it asks: {question}")?;
        answer = Some(demo.answer().await?.into());
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut seen))
}

/// Checks that the fork repeated nothing and took nothing away.
async fn check(
    demo: &mut Demo,
    from: &CheckpointTuple,
    first: &CheckpointTuple,
    second: &CheckpointTuple,
    seen: &Seen,
) -> Result<()> {
    let again = seen.audits_started().len();
    demo.checks.add(
        "the fork went on from finished work",
        again == 0 && !seen.started.is_empty(),
        format!("{} tasks ran, {again} of them audits", seen.started.len()),
    );
    let unchanged = demo.at(first).await? == *first;
    let other = first.address != second.address;
    let history = history::list(&demo.checkpointer, &demo.thread_id).await?;
    let first = history::branch(&history, &first.address.checkpoint_id);
    let second = history::branch(&history, &second.address.checkpoint_id);
    let shared: Vec<_> = first
        .iter()
        .filter(|tuple| second.contains(tuple))
        .collect();
    demo.checks.add(
        "both branches are there, from the first step on",
        unchanged
            && other
            && shared
                .first()
                .is_some_and(|tuple| tuple.address == from.address)
            && [&first, &second].iter().all(|branch| {
                branch
                    .last()
                    .is_some_and(|tuple| tuple.parent_address.is_none())
            }),
        format!(
            "{} and {} checkpoints, {} of them shared",
            first.len(),
            second.len(),
            shared.len(),
        ),
    );
    Ok(())
}
