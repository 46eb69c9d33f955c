//! Each case is in the table from which the tests are generated.

/// Compares the names in the table with the functions of the group's file.
macro_rules! check {
    ($group:ident: $($case:ident,)+) => {
        let source = include_str!(concat!(stringify!($group), ".rs"));
        let functions = source.split("pub async fn ").skip(1);
        let functions: Vec<&str> = functions.filter_map(|rest| rest.split('(').next()).collect();
        assert_eq!([$(stringify!($case)),+].as_slice(), functions, "{}", stringify!($group));
    };
}

macro_rules! check_all {
    ($($group:ident),+) => {
        $(crate::__contract_cases! { $group, check })+
    };
}

#[test]
fn every_case_is_in_the_table() {
    check_all!(
        added_outputs,
        put,
        append,
        put_writes,
        get_tuple,
        list,
        delete_thread,
        delete_for_runs,
        copy_thread,
        prune,
        retention,
        channel_history,
        forks,
        forgotten,
        guards,
        limit,
        generations,
        leases,
        threads,
        transfer,
        verify,
        watch,
        fidelity,
        model,
        lifecycle
    );
    crate::__transaction_cases! { check }
}
