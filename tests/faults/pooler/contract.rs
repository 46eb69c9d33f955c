//! The contract suite through a pooler.

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpointer::{Durability, Options, PostgresCheckpointer};
use tokio::task::{Id, JoinSet};

use super::{PATIENT, Pooled, leftovers};

/// How many connections the pooler opens to the server.
const CONNECTIONS: usize = 4;

/// A process of its own, as it were. All migrate, and what it does needs no second connection.
async fn agent(pooled: &Pooled, number: usize) -> PostgresCheckpointer {
    let one = [("DB_POOL_MAX", "1")];
    let variables: Vec<_> = PATIENT.iter().chain(&one).copied().collect();
    let database = pooled.connect(&variables).await;
    let durability = match number % 2 {
        0 => Durability::Full,
        _ => Durability::Relaxed,
    };
    let options = Options::default().durability(durability);
    options.setup(database).await.unwrap()
}

#[tokio::test]
async fn the_contract_suite_passes_with_far_more_agents_than_connections_to_the_server() {
    let pooled = Arc::new(Pooled::start(CONNECTIONS).await);
    let mut cases = JoinSet::new();
    let mut names = BTreeMap::new();

    macro_rules! start_cases {
        ($group:ident: $($case:ident,)+) => { $(
            // A function of its own: the futures of all cases are too much for one stack.
            fn $case(cases: &mut JoinSet<()>, pooled: Arc<Pooled>, number: usize) -> Id {
                let case = cases.spawn(async move {
                    let checkpointer = agent(&pooled, number).await;
                    checkpointer_suite::$group::$case(&checkpointer).await;
                });
                case.id()
            }
            let id = $case(&mut cases, Arc::clone(&pooled), names.len());
            names.insert(id, concat!(stringify!($group), "::", stringify!($case)));
        )+ };
    }
    macro_rules! start_groups {
        ($($group:ident),+ $(,)?) => {
            $({ checkpointer_suite::__contract_cases! { $group, start_cases } })+
        };
    }
    checkpointer_suite::__contract_groups! { start_groups }

    assert!(names.len() > 64, "{}", names.len());
    let mut failed = Vec::new();
    while let Some(case) = cases.join_next().await {
        failed.extend(case.err().map(|error| names[&error.id()]));
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}
