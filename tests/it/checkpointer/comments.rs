//! What the catalog says of the tables.

use super::step::checkpointer;
use rig::TestDb;

/// The tables, views, columns and functions of a schema, each with its comment.
const COMMENTS: &str = "
    SELECT c.relname::text, obj_description(c.oid, 'pg_class')
    FROM pg_class AS c
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT format('%s.%s', c.relname, a.attname), col_description(c.oid, a.attnum)
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = $1::text::regnamespace AND c.relkind NOT IN ('i', 'I')
      AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc')
    FROM pg_proc AS p
    WHERE p.pronamespace = $1::text::regnamespace
    ORDER BY 1";

#[tokio::test]
async fn every_table_column_and_function_has_a_comment() {
    let test = TestDb::without_schema().await;
    checkpointer(&test, &[]).await;
    let observer = test.observer().await;
    let rows = observer.query(COMMENTS, &[&test.schema()]).await.unwrap();
    let all: Vec<(String, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(all.iter().any(|(name, _)| name == "checkpoints.channels"));
    assert!(
        all.iter()
            .any(|(name, _)| name.ends_with(".state(text,text,text)"))
    );
    let without = all.iter().filter(|(_, comment)| comment.is_none());
    let without: Vec<_> = without.map(|(name, _)| name).collect();
    assert!(without.is_empty(), "{without:?}");
}
