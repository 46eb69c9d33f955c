-- What each table, column and function is for, where people look: psql's \d+ and \df+, and the tools
-- that draw a schema. Nothing is locked that a program needs, and programs of the version before may go
-- on running.
SET LOCAL search_path = pg_catalog, pg_temp;

COMMENT ON TABLE {schema}.threads IS
    'A row for each thread, and for each deleted one a tombstone';
COMMENT ON COLUMN {schema}.threads.thread_id IS
    'The name of the conversation or job';
COMMENT ON COLUMN {schema}.threads.generation IS
    'How often the thread was started: raised by each delete';
COMMENT ON COLUMN {schema}.threads.gc IS
    'Raised by each statement that deletes chunks; a writer that relies on stored chunks compares it';
COMMENT ON COLUMN {schema}.threads.created_at IS
    'When the thread was made, or started again';
COMMENT ON COLUMN {schema}.threads.metadata IS
    'What the user has written on the thread';
COMMENT ON COLUMN {schema}.threads.deleted_at IS
    'When the thread was deleted: the row is a tombstone then. Null while the thread lives';
COMMENT ON COLUMN {schema}.threads.operation IS
    'The call that deleted or copied the thread last, by which a repetition of it is known';
COMMENT ON COLUMN {schema}.threads.lease_number IS
    'The number of the lease that was taken last; the next one has a greater number';
COMMENT ON COLUMN {schema}.threads.lease_token IS
    'The secret of the lease, which each write of its holder carries. Null if there is no lease';
COMMENT ON COLUMN {schema}.threads.lease_until IS
    'Until when the lease keeps other writers out';
COMMENT ON COLUMN {schema}.threads.has_head IS
    'False if the thread may have no head: pending writes made it, or its heads were removed';

COMMENT ON TABLE {schema}.heads IS
    'A row for each namespace of a thread: its head, which is the checkpoint put last';
COMMENT ON COLUMN {schema}.heads.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.heads.checkpoint_ns IS
    'The namespace: empty for the root graph, or a subgraph';
COMMENT ON COLUMN {schema}.heads.checkpoint_id IS
    'The head';
COMMENT ON COLUMN {schema}.heads.seq IS
    'How many checkpoints were put in the namespace so far';
COMMENT ON COLUMN {schema}.heads.updated_at IS
    'When the head was moved last';
COMMENT ON COLUMN {schema}.heads.changed IS
    'The hour of the last change in UTC, by which threads are listed';

COMMENT ON TABLE {schema}.checkpoints IS
    'A row for each checkpoint: the state of a thread after a step';
COMMENT ON COLUMN {schema}.checkpoints.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.checkpoints.checkpoint_ns IS
    'The namespace: empty for the root graph, or a subgraph';
COMMENT ON COLUMN {schema}.checkpoints.checkpoint_id IS
    'The id. Those made by the library ascend: a child has a greater one than its parent';
COMMENT ON COLUMN {schema}.checkpoints.parent_checkpoint_id IS
    'The checkpoint before it. Null if there is none, or if it was removed';
COMMENT ON COLUMN {schema}.checkpoints.seq IS
    'The order in which the checkpoints of the namespace were put';
COMMENT ON COLUMN {schema}.checkpoints.checkpoint IS
    'All but the values: format, v, ts, channel_versions, versions_seen, updated_channels and further fields';
COMMENT ON COLUMN {schema}.checkpoints.channels IS
    'The value of each channel: [value], or a reference to chunks. The function state() puts them together';
COMMENT ON COLUMN {schema}.checkpoints.metadata IS
    'How the checkpoint was made (source, step, parents, run_id), and keys of the user';

COMMENT ON TABLE {schema}.chunks IS
    'The parts of large values, each stored once for a thread, whatever shares it';
COMMENT ON COLUMN {schema}.chunks.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.chunks.hash IS
    'The hash of what the chunk holds: equal content is the same chunk';
COMMENT ON COLUMN {schema}.chunks.content IS
    'A part of a value. Null if the chunk only refers to others';
COMMENT ON COLUMN {schema}.chunks.refs IS
    'The hashes of the chunks that it refers to, 16 bytes each. The function unpacked() lists them';

COMMENT ON TABLE {schema}.pending_writes IS
    'The outputs of tasks, stored before the next checkpoint exists';
COMMENT ON COLUMN {schema}.pending_writes.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.pending_writes.checkpoint_ns IS
    'The namespace: empty for the root graph, or a subgraph';
COMMENT ON COLUMN {schema}.pending_writes.checkpoint_id IS
    'The checkpoint whose step the task is a part of. It may be stored later';
COMMENT ON COLUMN {schema}.pending_writes.task_id IS
    'The task';
COMMENT ON COLUMN {schema}.pending_writes.idx IS
    'The place among the outputs of the task; below 0 for special channels such as __error__';
COMMENT ON COLUMN {schema}.pending_writes.task_path IS
    'Where the task is in the graph, by which outputs are ordered';
COMMENT ON COLUMN {schema}.pending_writes.channel IS
    'The channel that the value is for';
COMMENT ON COLUMN {schema}.pending_writes.value IS
    'The value: [value], or a reference to chunks. The function stored_value() puts it together';
COMMENT ON COLUMN {schema}.pending_writes.written_at IS
    'When it was stored';

COMMENT ON VIEW {schema}.thread_overview IS
    'A row for each namespace of the threads that live, for people who look after them';
COMMENT ON COLUMN {schema}.thread_overview.thread_id IS
    'The thread';
COMMENT ON COLUMN {schema}.thread_overview.checkpoint_ns IS
    'The namespace: empty for the root graph, or a subgraph';
COMMENT ON COLUMN {schema}.thread_overview.head IS
    'The checkpoint put last';
COMMENT ON COLUMN {schema}.thread_overview.step IS
    'The number of the step after which the head was put';
COMMENT ON COLUMN {schema}.thread_overview.checkpoints IS
    'How many checkpoints the namespace has';
COMMENT ON COLUMN {schema}.thread_overview.last_change IS
    'When the head was moved last';
COMMENT ON COLUMN {schema}.thread_overview.created_at IS
    'When the thread was made, or started again';
COMMENT ON COLUMN {schema}.thread_overview.metadata IS
    'What the user has written on the thread';

COMMENT ON FUNCTION {schema}.state(text, text, text) IS
    'The state of a checkpoint as one JSON document: of the root graph if no namespace is named, of the head if no checkpoint is';
COMMENT ON FUNCTION {schema}.stored_value(text, jsonb) IS
    'One stored value of a thread, such as the value of a row of pending_writes';
COMMENT ON FUNCTION {schema}.top_chunks(jsonb) IS
    'The chunks that a reference names, and how many levels of further chunks may be below each';
COMMENT ON FUNCTION {schema}.unpacked(bytea) IS
    'The hashes of a list of references, with their places';
