//! The recorded traces, on PostgreSQL.

use std::fs::File;
use std::io::BufReader;

use checkpointer::PostgresCheckpointer;
use rig::replay;

use rig::TestDb;

async fn agrees(name: &str) {
    let database = TestDb::new().await.connect(&[]).await;
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let traces = rig::package_folder().join("traces");
    let trace = File::open(traces.join(name).with_extension("jsonl")).unwrap();
    let report = replay(&checkpointer, BufReader::new(trace)).await.unwrap();
    if let Some(first) = &report.first {
        panic!("{report}\n{first}");
    }
}

/// One test per trace.
macro_rules! traces {
    ($($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                agrees(stringify!($name)).await;
            }
        )+
    };
}

traces! { delta, human, maintenance, map_reduce, subgraphs, time_travel, tool_agent, values }
