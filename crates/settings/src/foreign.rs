//! Parameters that libpq, other drivers and providers put into a URL, and that aren't ours.
//!
//! One that says what is done anyway is taken, so that a provider's URL works as it is. Any other is
//! refused with what to do instead, because the program that gave the URL asks for something that
//! wouldn't happen.

use crate::error::Problems;

/// Parameters that are answered alike.
struct Foreign {
    names: &'static [&'static str],
    /// The values that say what is done anyway.
    taken: Taken,
    /// What to do about any other value, after the word "expected".
    expected: &'static str,
}

enum Taken {
    None,
    These(&'static [&'static str]),
    /// The parameter is a provider's own mark, and says nothing about the connection.
    All,
}

const FOREIGN: &[Foreign] = &[
    // libpq's own.
    Foreign {
        names: &["client_encoding"],
        taken: Taken::These(&["UTF8", "utf8", "UTF-8", "utf-8"]),
        expected: "`UTF8`, in which all texts are sent",
    },
    Foreign {
        names: &["gssencmode"],
        taken: Taken::These(&["disable", "prefer"]),
        expected: "`disable` or `prefer`: GSSAPI isn't supported",
    },
    Foreign {
        names: &["keepalives"],
        taken: Taken::These(&["1"]),
        expected: "`1`: an idle connection is always probed",
    },
    Foreign {
        names: &["keepalives_idle", "keepalives_interval", "keepalives_count"],
        taken: Taken::None,
        expected: "not to be set: an idle connection is probed after 15 seconds, three times, \
            with 5 seconds between",
    },
    Foreign {
        names: &["load_balance_hosts"],
        taken: Taken::These(&["disable"]),
        expected: "`disable`: hosts are tried in the order in which they are named",
    },
    Foreign {
        names: &["sslcompression"],
        taken: Taken::These(&["0"]),
        expected: "`0`: nothing is compressed",
    },
    Foreign {
        names: &["sslnegotiation"],
        taken: Taken::These(&["postgres"]),
        expected: "`postgres`: the server is always asked for TLS before the handshake",
    },
    Foreign {
        names: &["sslsni"],
        taken: Taken::These(&["1"]),
        expected: "`1`: the name of the host is always sent in the handshake",
    },
    Foreign {
        names: &["ssl_min_protocol_version"],
        taken: Taken::These(&["TLSv1.2"]),
        expected: "`TLSv1.2`, which is always the oldest",
    },
    Foreign {
        names: &["fallback_application_name", "ApplicationName"],
        taken: Taken::None,
        expected: "not to be set: the parameter is `application_name`",
    },
    Foreign {
        names: &["user", "password", "dbname", "database"],
        taken: Taken::None,
        expected: "not to be set: user and password are before the host, the database is behind it",
    },
    // How TLS is asked for elsewhere.
    Foreign {
        names: &["uselibpqcompat"],
        taken: Taken::These(&["true"]),
        expected: "`true`: `sslmode` always means what it means to libpq",
    },
    Foreign {
        names: &["ssl", "sslaccept"],
        taken: Taken::None,
        expected: "not to be set: `sslmode` says whether connections are encrypted, and what is \
            checked of the server",
    },
    // Pools of other drivers.
    Foreign {
        names: &["connection_limit", "pool_max_conns", "pool"],
        taken: Taken::None,
        expected: "not to be set: `DB_POOL_MAX` says how many connections the pool opens at most",
    },
    Foreign {
        names: &["pool_timeout"],
        taken: Taken::None,
        expected: "not to be set: `DB_ACQUIRE_TIMEOUT` says how long a caller waits for a connection",
    },
    Foreign {
        names: &["max_connection_lifetime", "pool_max_conn_lifetime"],
        taken: Taken::None,
        expected: "not to be set: `DB_MAX_LIFETIME` says how old a connection may become",
    },
    Foreign {
        names: &["max_idle_connection_lifetime", "pool_max_conn_idle_time"],
        taken: Taken::None,
        expected: "not to be set: `DB_IDLE_TIMEOUT` says how long a connection may lie idle",
    },
    // Time-outs of other drivers.
    Foreign {
        names: &["statement_timeout", "socket_timeout", "socketTimeout"],
        taken: Taken::None,
        expected: "not to be set: `DB_STATEMENT_TIMEOUT` says how long a statement may run",
    },
    Foreign {
        names: &["tcp_user_timeout"],
        taken: Taken::None,
        expected: "not to be set: `DB_NETWORK_TIMEOUT` says how long an answer may be overdue",
    },
    // What else other drivers are told.
    Foreign {
        names: &["schema", "currentSchema", "search_path"],
        taken: Taken::None,
        expected: "not to be set: `DB_SCHEMA` says in which schema the tables are",
    },
    Foreign {
        names: &[
            "prepareThreshold",
            "prepared_statement_cache_size",
            "prepared_statements",
            "statement-cache-capacity",
            "statement_cache_capacity",
            "statement_cache_size",
        ],
        taken: Taken::None,
        expected: "not to be set: each connection finds out whether statements can be prepared",
    },
    // The mark of Supabase's integration with Vercel.
    Foreign {
        names: &["supa"],
        taken: Taken::All,
        expected: "anything",
    },
];

/// Takes or refuses a parameter that isn't ours. `false`: nothing is known of it.
pub(crate) fn is_answered(name: &str, value: Option<&str>, problems: &mut Problems) -> bool {
    let found = FOREIGN.iter().find_map(|foreign| {
        let name = foreign.names.iter().find(|known| **known == name);
        name.map(|name| (*name, foreign))
    });
    let Some((name, foreign)) = found else {
        return false;
    };
    let is_taken = match (&foreign.taken, value) {
        (Taken::All, _) => true,
        (Taken::These(values), Some(value)) => values.contains(&value),
        _ => false,
    };
    if !is_taken {
        problems.add_parameter(name, foreign.expected);
    }
    true
}
