use expect_test::expect;

use super::{log_of, read};

#[test]
fn an_unknown_variable_is_warned_about_by_name() {
    let log = log_of(|| {
        let settings = read(&[
            ("DB_POOLMAX", "hunter2"),
            ("DB_CONNECTION_TIMEOUT", "hunter2"),
            ("DB_schema", "hunter2"),
            ("DB_PASSWORD", "hunter2"),
            ("DB_POOL_SIZE", "hunter2"),
            ("DB_\nfaked line", "hunter2"),
            ("DB_", ""),
            ("DBT_PROFILE", "hunter2"),
            ("PGPASSWORD", "hunter2"),
            ("db_pool_max", "hunter2"),
        ]);
        assert_eq!(settings.unwrap().pool_max(), 10);
    });
    let lines: Vec<_> = log.lines().map(str::trim_start).collect();
    expect![[r#"
        WARN settings::given: ignored an unknown variable variable="DB_"
        WARN settings::given: ignored an unknown variable variable="DB_\nfaked line"
        WARN settings::given: ignored an unknown variable that looks misspelt variable="DB_CONNECTION_TIMEOUT" did_you_mean="DB_CONNECT_TIMEOUT"
        WARN settings::given: ignored an unknown variable variable="DB_PASSWORD"
        WARN settings::given: ignored an unknown variable that looks misspelt variable="DB_POOLMAX" did_you_mean="DB_POOL_MAX"
        WARN settings::given: ignored an unknown variable variable="DB_POOL_SIZE"
        WARN settings::given: ignored an unknown variable that looks misspelt variable="DB_schema" did_you_mean="DB_SCHEMA""#]].assert_eq(&lines.join("\n"));
}
