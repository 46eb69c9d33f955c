//! The contract suite on the checkpointer in memory.

checkpointer::contract_tests!(checkpointer::MemoryCheckpointer::new());
