//! The contract suite, all its cases at once.

use std::collections::BTreeMap;

use checkpointer::PostgresCheckpointer;
use tokio::task::{Id, JoinSet};

/// Runs every case with a checkpointer of its own, made by `agent` from the number of the case.
pub(crate) async fn run_all<Agent>(agent: impl Fn(usize) -> Agent)
where
    Agent: Future<Output = PostgresCheckpointer> + Send + 'static,
{
    let names = run(&agent, false).await;
    assert!(names > 64, "{names}");
}

/// Runs the cases of a limit of bytes per thread, which `agent` sets.
pub(crate) async fn run_limited<Agent>(agent: impl Fn(usize) -> Agent)
where
    Agent: Future<Output = PostgresCheckpointer> + Send + 'static,
{
    run(&agent, true).await;
}

/// Runs cases, and returns how many.
async fn run<Agent>(agent: &impl Fn(usize) -> Agent, limited: bool) -> usize
where
    Agent: Future<Output = PostgresCheckpointer> + Send + 'static,
{
    let mut cases = JoinSet::new();
    let mut names = BTreeMap::new();

    macro_rules! start_cases {
        ($group:ident: $($case:ident,)+) => { $(
            // A function of its own: the futures of all cases are too much for one stack.
            fn $case<Agent>(
                cases: &mut JoinSet<()>,
                agent: &impl Fn(usize) -> Agent,
                number: usize,
            ) -> Id
            where
                Agent: Future<Output = PostgresCheckpointer> + Send + 'static,
            {
                let agent = agent(number);
                let case = cases.spawn(async move {
                    checkpointer_suite::$group::$case(&agent.await).await;
                });
                case.id()
            }
            let id = $case(&mut cases, agent, names.len());
            names.insert(id, concat!(stringify!($group), "::", stringify!($case)));
        )+ };
    }
    macro_rules! start_groups {
        ($($group:ident),+ $(,)?) => {
            $({ checkpointer_suite::__contract_cases! { $group, start_cases } })+
        };
    }
    match limited {
        true => {
            checkpointer_suite::__contract_cases! { limit, start_cases }
        }
        false => {
            checkpointer_suite::__contract_groups! { start_groups }
        }
    }
    let count = names.len();
    let mut failed = Vec::new();
    while let Some(case) = cases.join_next().await {
        failed.extend(case.err().map(|error| names[&error.id()]));
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    count
}
