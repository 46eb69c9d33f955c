//! The contract suite: what every [`Checkpointer`](checkpointer::Checkpointer) must do, as tests.
//!
//! It is for people who write another checkpointer. In the tests of their crate, which needs
//! `tokio` with `macros` and `rt`:
//!
//! ```
//! # type MyCheckpointer = checkpointer::MemoryCheckpointer;
//! checkpointer_suite::contract_tests!(MyCheckpointer::new());
//! # fn main() {}
//! ```
//!
//! generates one `#[tokio::test]` per case, so that each is reported by its name, such as
//! `put::preserves_versions_seen`. The expression may `.await`; it is evaluated for each case. All
//! may share one store: a case uses thread ids of its own. But `lifecycle::closed_refuses` and
//! `watch::close_ends_it` close their checkpointers, so they can't share that.
//!
//! A checkpointer that leaves some calls [`Unsupported`](checkpointer::Error::Unsupported) names
//! the groups it is for:
//!
//! ```
//! # type MyCheckpointer = checkpointer::MemoryCheckpointer;
//! checkpointer_suite::contract_tests!(MyCheckpointer::new(); put, put_writes, get_tuple, list);
//! # fn main() {}
//! ```
//!
//! A checkpointer that can store within transactions has further cases, those of [`within`]:
//!
//! ```
//! checkpointer_suite::transaction_tests!(checkpointer::MemoryCheckpointer::new());
//! # fn main() {}
//! ```
//!
//! The groups are the modules below. Their cases are functions too, which panic where the contract
//! is broken; dropped in the middle they leave a thread behind.
//!
//! # Cases of your own
//!
//! [`step`] has what the cases are written with:
//!
//! ```
//! use checkpointer::{MemoryCheckpointer, ThreadId};
//! use checkpointer_suite::step::{Step, get, head, values};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), checkpointer::Error> {
//! let checkpointer = MemoryCheckpointer::new();
//! let thread_id = ThreadId::new("support-4711")?;
//! let first = Step::first(&thread_id).values(json!({ "a": 1 })).put(&checkpointer).await;
//! let second = Step::after(&first).values(json!({ "a": 2 })).put(&checkpointer).await;
//!
//! let stored = get(&checkpointer, &second).await;
//! assert_eq!(values(&stored), json!({ "a": 2 }));
//! assert_eq!(head(&checkpointer, &thread_id).await, Some(second.checkpoint_id));
//! # Ok(())
//! # }
//! ```
//!
//! # Where the cases come from
//!
//! The first cases of the groups `put` to `channel_history` are those of LangGraph's own
//! conformance suite, by their names there. The others are corners it leaves out.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a case fails by panicking"
)]

pub mod added_outputs;
pub mod append;
pub mod channel_history;
pub mod copy_thread;
pub mod delete_for_runs;
pub mod delete_thread;
pub mod fidelity;
pub mod forgotten;
pub mod forks;
pub mod generations;
pub mod get_tuple;
pub mod guards;
pub mod leases;
pub mod lifecycle;
pub mod limit;
pub mod list;
pub mod model;
pub mod prune;
pub mod put;
pub mod put_writes;
pub mod retention;
pub mod step;
pub mod threads;
pub mod transfer;
pub mod verify;
pub mod watch;
pub mod within;

#[doc(hidden)]
pub use checkpointer;

/// Generates the contract suite for a checkpointer, one `#[tokio::test]` per case: see
/// the [crate](crate).
#[macro_export]
macro_rules! contract_tests {
    ($checkpointer:expr) => {
        $crate::__contract_groups! { $crate::contract_tests, $checkpointer; }
    };
    ($checkpointer:expr; $($group:ident),+ $(,)?) => {
        async fn contract_checkpointer() -> ::std::sync::Arc<dyn $crate::checkpointer::Checkpointer> {
            ::std::sync::Arc::new($checkpointer)
        }

        $($crate::__contract_cases! { $group, $crate::__contract_group })+
    };
}

/// The groups.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_groups {
    ($each:path $(, $checkpointer:expr;)?) => {
        $each! { $($checkpointer;)?
            put, append, put_writes, get_tuple, list, delete_thread, delete_for_runs, copy_thread, prune,
            retention, channel_history, forks, guards, generations, leases, threads, transfer, verify,
            watch, fidelity, model, lifecycle
        }
    };
}

/// Generates the tests of one group.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_group {
    ($group:ident: $($case:ident,)+) => {
        mod $group {
            $(
                #[tokio::test]
                async fn $case() {
                    let checkpointer = super::contract_checkpointer().await;
                    $crate::$group::$case(&*checkpointer).await;
                }
            )+
        }
    };
}

/// The cases, by group.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_cases {
    (put, $each:path) => {
        $each! { put:
            returns_config, roundtrip, preserves_channel_values, preserves_channel_versions,
            preserves_versions_seen, preserves_versions_seen_values, preserves_metadata,
            preserves_run_id, root_namespace, child_namespace, default_namespace,
            multiple_checkpoints_same_thread, multiple_threads_isolated, parent_address,
            incremental_channel_update, new_channel_added, channel_removed,
            preserves_other_fields, missing_channel_is_inherited,
            missing_channel_of_another_version_is_empty,
            missing_channel_the_parent_never_had_is_empty,
            missing_channel_of_a_missing_parent_is_refused,
            missing_channel_of_a_missing_parent_may_be_empty,
            missing_channel_of_a_parent_that_is_there_is_not_empty, whole_state_needs_no_parent,
            changed_channel_without_a_value_is_empty, value_without_a_version,
            list_that_its_owner_keeps,
            again_replaces_content, again_takes_values_from_the_parent_that_it_names, again_keeps_the_parent, again_does_not_move_the_head,
            again_keeps_the_writes, again_keeps_what_it_inherited, keeps_by_the_same_number,
            the_last_one_is_the_head,
            before_its_parent, partial_is_refused,
        }
    };
    (append, $each:path) => {
        $each! { append:
            begins_a_list, is_the_parents_and_more, grows_step_by_step, beside_other_channels,
            goes_on_after_other_steps, goes_on_after_a_list_that_grows, in_forks, per_namespace,
            again_is_the_same,
            to_a_parent_that_was_put_again, of_nothing, after_another_length_is_refused,
            to_what_is_no_list_is_refused, to_a_missing_parent_is_refused,
            to_a_pruned_parent_is_refused, to_a_deleted_thread_is_refused, guarded,
            beside_a_value_is_refused, an_item_too_deep_is_refused,
        }
    };
    (put_writes, $each:path) => {
        $each! { put_writes:
            basic, multiple_writes_same_task, multiple_tasks, preserves_task_id,
            preserves_channel_and_value, task_path, idempotent, special_channels,
            across_namespaces, cleared_on_next_checkpoint, regular_keeps_the_first,
            regular_of_a_mixed_call_keep_the_first, concurrent_executions,
            mixed_call_each_for_itself, resume_takes_the_last, order, order_of_many,
            replaced_keeps_its_task_path, before_their_checkpoint, none, on_an_old_checkpoint,
            concurrent_tasks,
        }
    };
    (get_tuple, $each:path) => {
        $each! { get_tuple:
            nonexistent_returns_none, latest_when_no_checkpoint_id, specific_checkpoint_id,
            config_structure, checkpoint_fields, metadata, parent_address, pending_writes,
            respects_namespace, nonexistent_checkpoint_id, metadata_only, some_channels,
        }
    };
    (list, $each:path) => {
        $each! { list:
            all, by_thread, by_namespace, ordering, metadata_filter_single_key,
            metadata_filter_step, metadata_filter_multiple_keys, metadata_filter_no_match,
            metadata_custom_keys, before, limit, limit_plus_before, combined_thread_and_filter,
            empty_result, includes_pending_writes, multiple_namespaces, same_as_get_tuple,
            limit_zero, by_checkpoint_id, ties, filter_empty, filter_nested, filter_null,
            filter_list, filter_number, filter_odd_text, get_tuple_inside_the_loop, many,
            projections,
        }
    };
    (delete_thread, $each:path) => {
        $each! { delete_thread:
            removes_checkpoints, removes_writes, removes_all_namespaces, preserves_other_threads,
            nonexistent_noop, twice,
        }
    };
    (delete_for_runs, $each:path) => {
        $each! { delete_for_runs:
            single, multiple, preserves_other_runs, removes_writes, empty_list_noop,
            nonexistent_noop, across_namespaces, the_head_falls_back, of_all_checkpoints, twice,
            keeps_what_is_needed, counts,
        }
    };
    (copy_thread, $each:path) => {
        $each! { copy_thread:
            basic, all_checkpoints, preserves_metadata, preserves_namespaces, preserves_writes,
            preserves_ordering, source_unchanged, nonexistent_source, onto_itself_noop,
            onto_an_existing_one, goes_on, target_exists_without_a_source,
        }
    };
    (prune, $each:path) => {
        $each! { prune:
            keep_latest_single_thread, keep_latest_multiple_threads,
            keep_latest_across_namespaces, keep_latest_preserves_writes, delete_all,
            preserves_other_threads, keeps_the_name_of_a_parent_that_was_never_stored, empty_list_noop, nonexistent_noop, twice,
            forgets_the_parent, keeps_the_head, goes_on, keeps_inherited_values,
            keeps_writes_before_their_checkpoint, removes_writes, removes_calls_that_are_over,
            keeps_subgraphs_with_state, keeps_calls_before_their_root,
            keeps_what_writes_are_rebuilt_from, keeps_all_writes_without_a_seed,
            an_emptied_channel_keeps_nobody, keeps_pending_sends_of_old_formats, one_failure_keeps_nothing_else, counts,
        }
    };
    (retention, $each:path) => {
        $each! { retention:
            keeps_the_last, keeps_the_last_of_each_namespace, keeps_what_is_new, takes_any_age,
            keeps_the_tips_of_forks, keeps_what_is_pinned, keeps_what_a_pinned_one_is_rebuilt_from,
            keeps_pins_of_calls, a_pin_is_seen, a_pin_outlives_a_put_and_a_copy,
            a_missing_checkpoint_is_not_pinned, a_pin_stops_no_deletion_by_name,
            deletes_threads_that_rest, a_lease_stops_only_deletions,
            is_for_threads_of_its_metadata, a_dry_run_is_what_the_run_is, finds_what_is_due,
            tries_again_what_failed,
        }
    };
    (channel_history, $each:path) => {
        $each! { channel_history:
            returns_writes_oldest_first, seed_is_nearest_snapshot,
            excludes_target_pending_writes, multi_channel, empty_channels_returns_empty,
            walk_to_root_no_seed, migration_plain_value_as_seed,
            seed_ancestor_own_writes_are_replayed, order_within_a_step,
            parent_sorts_above_its_child, of_a_branch, inherited_value_is_a_seed,
            of_a_missing_target, ends_in_a_ring_of_parents,
        }
    };
    (forks, $each:path) => {
        $each! { forks:
            integer_versions, text_versions, version_of_an_ancestor, at_any_depth, writes,
            becomes_the_head,
        }
    };
    (guards, $each:path) => {
        $each! { guards:
            expects_no_head, expects_the_head, conflict_carries_the_head,
            conflict_stores_nothing, conflict_makes_no_thread, fork_expects_the_newest, again,
            again_after_the_head_moved_on, stored_under_another_parent, per_namespace,
            one_of_many, one_first_of_many,
        }
    };
    (added_outputs, $each:path) => {
        $each! { added_outputs:
            a_later_call_adds_what_it_has_beyond, special_ones_count_no_position, large_ones_are_added,
            each_position_has_one_of_concurrent_ones,
        }
    };
    (forgotten, $each:path) => {
        $each! { forgotten:
            a_put_starts_it, a_put_without_its_values_is_refused, a_put_with_empty_channels_starts_it,
            writes_start_it,
            a_subgraph_starts_it, a_late_put_is_stored_after_a_restart,
            a_named_generation_is_refused, a_guarded_put_is_refused,
        }
    };
    (limit, $each:path) => {
        $each! { limit:
            a_put_beyond_it_is_refused, a_first_put_beyond_it_makes_no_thread,
            writes_beyond_it_are_refused, writes_count, a_smaller_put_fits_after_a_refusal,
            what_is_stored_may_be_repeated, a_second_execution_needs_no_room,
            what_was_replaced_makes_room, a_checkpoint_put_again_may_not_grow,
            what_is_shared_counts_once, kept_values_do_not_exceed_it, a_prune_makes_room,
            a_deletion_makes_room, a_copy_is_as_full_as_its_source,
            an_import_beyond_it_leaves_nothing, of_many_at_once_some_fit,
        }
    };
    (generations, $each:path) => {
        $each! { generations:
            late_put_is_refused, late_writes_are_refused, late_subgraph_is_refused,
            late_first_put_is_refused, guarded_put_is_refused, late_metadata_is_refused,
            copies_are_refused, pruning_passes_over, first_put_starts_afresh,
            guarded_first_put_starts_afresh, answers_carry_it, each_deletion_counts,
            former_generation_is_refused, former_generation_is_not_deleted_again,
            unnamed_put_needs_its_parent, unnamed_put_needs_its_parent_whatever_it_keeps,
            unnamed_subgraph_put_needs_its_root,
            unnamed_writes_wait_for_their_checkpoint, late_unnamed_writes_never_show,
            metadata_is_gone,
        }
    };
    (leases, $each:path) => {
        $each! { leases:
            holder_writes, others_are_refused, one_at_a_time, of_many_one_is_taken, names_its_end,
            reading_is_free, upkeep_is_free, time_that_is_over_lets_others_in,
            time_that_is_over_refuses_nobody_else, taken_by_another_is_lost, renewed_is_the_same,
            renewed_after_its_time, released_lets_others_in, lost_release_changes_nothing,
            force_breaks, of_another_thread_is_lost, numbers_grow, makes_no_thread,
            keeps_a_place, released_place_is_free, copies_respect_a_place, outlives_a_delete,
            late_root_put_is_refused, on_a_deleted_thread, guards_hold,
            stored_before_it_was_lost,
        }
    };
    (threads, $each:path) => {
        $each! { threads:
            by_last_change, put_again_is_no_change, entry, metadata_filter, paging, oldest_first,
            changed_before_and_after, once_whatever_its_namespaces, without_a_head_in_order,
            many_of_which_few_match, state_contains, limit_zero, all, deleted_ones_are_not_listed,
            metadata_is_replaced, metadata_of_a_missing_thread, metadata_is_changed_by_key,
            metadata_of_a_missing_thread_is_not_changed, metadata_with_a_put,
            metadata_with_a_refused_put, metadata_with_a_put_that_starts_again,
            writes_make_a_thread, one, size,
        }
    };
    (transfer, $each:path) => {
        $each! { transfer:
            is_equal, exported_again_is_the_same, preserves_values, preserves_pins, preserves_the_head,
            executed_again, keeps_paths, goes_on, of_a_pruned_thread, onto_an_existing_one,
            of_a_missing_thread, after_a_deletion, a_bad_line_leaves_nothing,
            an_early_end_leaves_nothing, a_missing_head_leaves_nothing, an_import_that_is_given_up, several_threads,
            others_wait, lines_are_json,
        }
    };
    (verify, $each:path) => {
        $each! { verify:
            finds_nothing, finds_nothing_in_orders_of_keys, goes_on, of_a_missing_thread,
            finds_a_missing_parent, repairs_nothing_without_a_finding,
        }
    };
    (watch, $each:path) => {
        $each! { watch:
            begins_with_the_heads, tells_puts, tells_forks, of_one_namespace, of_all_threads,
            tells_deletions, a_slow_watcher_finds_the_last_head, tells_a_head_that_falls_back, tells_a_copy,
            writes_are_not_told, dropped_and_watched_again, close_ends_it,
        }
    };
    (fidelity, $each:path) => {
        $each! { fidelity:
            values, writes, order_of_keys, metadata, other_fields, thread_metadata, channel_names, thread_ids,
            other_names, longest_names, too_long_names_together_are_refused,
            bad_channel_names_are_refused, too_deep_is_refused,
        }
    };
    (model, $each:path) => {
        $each! { model: random_operations, }
    };
    (lifecycle, $each:path) => {
        $each! { lifecycle:
            versions_grow, closed_refuses,
        }
    };
}

/// Generates the cases of [`within`], one `#[tokio::test]` for each, from an expression that gives
/// [`Transactions`](within::Transactions) and may `.await`.
#[macro_export]
macro_rules! transaction_tests {
    ($transactions:expr) => {
        async fn contract_transactions() -> impl $crate::within::Transactions {
            $transactions
        }

        $crate::__transaction_cases! { $crate::__transaction_group }
    };
}

/// Generates the tests of the group `within`.
#[doc(hidden)]
#[macro_export]
macro_rules! __transaction_group {
    (within: $($case:ident,)+) => {
        mod within {
            $(
                #[tokio::test]
                async fn $case() {
                    let transactions = super::contract_transactions().await;
                    $crate::within::$case(&transactions).await;
                }
            )+
        }
    };
}

/// The cases of the group `within`.
#[doc(hidden)]
#[macro_export]
macro_rules! __transaction_cases {
    ($each:path) => {
        $each! { within:
            takes_effect_with_the_commit, rolled_back_leaves_nothing, sees_its_own_puts,
            appends_to_its_own_puts, reads_what_others_have_put, a_refusal_leaves_the_rest, again_is_no_conflict,
            respects_leases, respects_deletions, a_put_waits_for_the_end, others_go_on,
            told_once_it_is_committed, saves_follow_what_was_committed, closed_refuses,
        }
    };
}

#[cfg(test)]
mod tests;
