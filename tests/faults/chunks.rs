//! Writers that believe in chunks which others remove, or which a failover has taken away.

use rig::{ChunkRaces, PrivateServer, Worker};

use super::crash::this_test;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_put_beside_removers_and_steps_back_in_time_lacks_a_chunk() {
    let name = "chunks::no_put_beside_removers_and_steps_back_in_time_lacks_a_chunk";
    if let Some(worker) = Worker::from_env().unwrap() {
        return worker.run().await.unwrap();
    }
    let server = PrivateServer::start(&[]).await.unwrap();
    let races = ChunkRaces {
        puts: 300,
        writers: 2,
        removers: 1,
        threads: 2,
        seed: 3,
    };
    let counts = races.run(&server, this_test(name), |_| {}).await.unwrap();
    assert_eq!(counts.violations, [""; 0]);
    for done in ["put", "put_writes", "prune", "list", "step back in time"] {
        assert!(counts.done.contains_key(done), "no {done}: {counts:?}");
    }
}
