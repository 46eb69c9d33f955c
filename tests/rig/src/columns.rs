//! The columns of a table.

/// Asks for the columns of a table that are written, as a list. The others are generated.
pub fn written_columns(table: &str) -> String {
    format!(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_catalog.pg_attribute
         WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
           AND attgenerated = ''"
    )
}
