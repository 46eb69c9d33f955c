//! Names of schemas.

/// What [`is_schema_name`] expects, in words.
pub const SCHEMA_NAME: &str = "1 to 63 bytes without NUL, not beginning with `pg_`";

/// Whether a schema can have this name. The server cuts off a longer one, so that two names would be
/// one schema, and it keeps `pg_` for itself.
///
/// # Examples
///
/// ```
/// assert!(settings::is_schema_name("tenant 7"));
/// assert!(!settings::is_schema_name("pg_tenant"));
/// ```
pub fn is_schema_name(text: &str) -> bool {
    let allowed = !text.contains('\0') && !text.starts_with("pg_");
    allowed && (1..=63).contains(&text.len())
}
