//! Names in SQL.

/// Quotes a name so that SQL takes it as one identifier, whatever it holds.
///
/// # Examples
///
/// ```
/// assert_eq!(db::quote_identifier("my schema"), r#""my schema""#);
/// assert_eq!(db::quote_identifier(r#"a"b"#), r#""a""b""#);
/// ```
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Fills in the quoted schema where a template has `{schema}`.
pub(crate) fn in_schema(template: &str, schema: &str) -> String {
    template.replace("{schema}", &quote_identifier(schema))
}
