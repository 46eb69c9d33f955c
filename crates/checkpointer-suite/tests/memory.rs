//! The contract suite on the checkpointer in memory.

checkpointer_suite::contract_tests!(checkpointer::MemoryCheckpointer::new());
