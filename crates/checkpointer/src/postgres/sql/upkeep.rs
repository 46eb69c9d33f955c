//! The rounds in which a policy is applied to the threads that are due.

use std::time::SystemTime;

use super::parameters::parameters;
use super::template::Template;

parameters! {
    /// The policy of a round.
    struct PolicyOfRound<'a> {
        policy: &'a str,
    }
}

parameters! {
    /// The call that is at work, and for how long others leave the work to it.
    struct AtWork<'a> {
        token: &'a str,
        micros: i64,
    }
}

parameters! {
    /// How far a round has come.
    struct Progress<'a> {
        part: i32,
        changed: Option<SystemTime>,
        thread_id: &'a str,
        failing: &'a [String],
    }
}

parameters! {
    /// The end of a call.
    struct EndOfCall<'a> {
        token: &'a str,
        /// Whether it is the end of the round, too.
        is_over: bool,
    }
}

parameters! {
    /// A page of the threads that a part of a round looks at.
    struct DuePage<'a> {
        /// The hours from which and up to which their heads have changed last.
        from: Option<SystemTime>,
        until: SystemTime,
        /// The last one of the page before.
        changed: Option<SystemTime>,
        thread_id: &'a str,
        /// How many checkpoints of a namespace stay in any case.
        last: i64,
        /// Up to which hour threads are looked at however few checkpoints they have.
        rested: Option<SystemTime>,
        limit: i64,
    }
}

/// Begins a call, which goes on with the round under way or begins one. No row: another call is at work.
///
/// `excluded.begun` is the time. An attempt that seemed lost finds its own token.
pub(super) const BEGIN_ROUND: Template<(PolicyOfRound<'static>, AtWork<'static>)> =
    Template::new(&["-- checkpointer::begin_round
INSERT INTO {schema}.upkeep AS u (policy, token, until, begun)
VALUES ({policy}, {token}, now() + {micros} * interval '1 microsecond', now())
ON CONFLICT (policy) DO UPDATE
SET token = excluded.token, until = excluded.until, begun = coalesce(u.begun, excluded.begun),
    looks_at_all = CASE WHEN u.begun IS NOT NULL THEN u.looks_at_all
        ELSE coalesce(excluded.begun - u.done_all > interval '7 days', true) END
WHERE u.token IS NULL OR u.token = excluded.token OR u.until <= excluded.begun
RETURNING begun, done, looks_at_all, part, changed, thread_id, failing, failed"]);

/// Says where a call would begin.
pub(super) const LOOK_AT_ROUND: Template<PolicyOfRound<'static>> =
    Template::new(&["-- checkpointer::look_at_round
SELECT coalesce(u.begun, now()) AS begun, u.done,
    CASE WHEN u.begun IS NOT NULL THEN u.looks_at_all
        ELSE coalesce(now() - u.done_all > interval '7 days', true) END AS looks_at_all,
    coalesce(u.part, 0) AS part, u.changed, coalesce(u.thread_id, '') AS thread_id,
    coalesce(u.failing, '{}') AS failing, coalesce(u.failed, '{}') AS failed
FROM (SELECT {policy} AS policy) AS asked LEFT JOIN {schema}.upkeep AS u USING (policy)"]);

/// Notes how far a round has come, if the call is still the one that is at work.
pub(super) const NOTE_PROGRESS: Template<(
    (PolicyOfRound<'static>, AtWork<'static>),
    Progress<'static>,
)> = Template::new(&["-- checkpointer::note_progress
UPDATE {schema}.upkeep
SET until = now() + {micros} * interval '1 microsecond', part = {part}, changed = {changed},
    thread_id = {thread_id}, failing = {failing}
WHERE policy = {policy} AND token = {token}
RETURNING true AS noted"]);

/// Ends a call, and the round with it if that is over.
pub(super) const END_CALL: Template<(PolicyOfRound<'static>, EndOfCall<'static>)> =
    Template::new(&["-- checkpointer::end_call
UPDATE {schema}.upkeep
SET token = NULL, until = NULL,
    done = CASE WHEN {is_over} THEN begun ELSE done END,
    done_all = CASE WHEN {is_over} AND looks_at_all THEN begun ELSE done_all END,
    begun = CASE WHEN {is_over} THEN NULL ELSE begun END,
    part = CASE WHEN {is_over} THEN 0 ELSE part END,
    changed = CASE WHEN {is_over} THEN NULL ELSE changed END,
    thread_id = CASE WHEN {is_over} THEN '' ELSE thread_id END,
    failed = CASE WHEN {is_over} THEN failing ELSE failed END,
    failing = CASE WHEN {is_over} THEN '{}' ELSE failing END
WHERE policy = {policy} AND token = {token}"]);

/// Finds threads by the hour of their last change, those first that have been unchanged for longest.
///
/// A thread is found by the last head of it that has changed, and so once. The subqueries that return a
/// value are run for one head after the other, by the key, whatever the planner expects.
pub(super) const DUE_THREADS: Template<DuePage<'static>> =
    Template::new(&["-- checkpointer::due_threads
SELECT h.thread_id, h.changed AT TIME ZONE 'UTC' AS changed FROM {schema}.heads AS h
WHERE (h.changed, h.thread_id) > (coalesce({changed} AT TIME ZONE 'UTC', '-infinity'), {thread_id})
  AND h.changed >= coalesce(date_trunc('hour', {from} AT TIME ZONE 'UTC'), '-infinity')
  AND h.changed <= date_trunc('hour', {until} AT TIME ZONE 'UTC')
  AND (SELECT true FROM {schema}.heads AS later
       WHERE later.thread_id = h.thread_id
         AND (later.changed, later.checkpoint_ns) > (h.changed, h.checkpoint_ns) LIMIT 1) IS NULL
  AND (h.changed <= date_trunc('hour', {rested} AT TIME ZONE 'UTC') OR h.seq > {last}
       OR (SELECT true FROM {schema}.heads AS longer
           WHERE longer.thread_id = h.thread_id AND longer.seq > {last} LIMIT 1))
ORDER BY h.changed, h.thread_id LIMIT {limit}"]);
