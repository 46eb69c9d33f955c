//! `DATABASE_URL`: its parts, and its parameters as texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;

use percent_encoding::percent_decode_str;

use crate::error::Problems;
use crate::foreign;
use crate::variable::DATABASE_URL;
use crate::{Host, Secret};

const DEFAULT_PORT: u16 = 5432;
const USER_EXPECTED: &str = "a user before the host: `user@host`";
const HOST_EXPECTED: &str = "a name, an address or a socket's directory for each host, \
    after the `@` or in the parameter `host`";
const PORT_EXPECTED: &str = "a port from 1 to 65535 after a host's `:` or in the parameter `port`, \
    and an IPv6 address after the `@` in `[]`";

/// Every parameter that is taken.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "host",
    "options",
    "pgbouncer",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
];

/// What the URL says, incomplete if there are problems with it.
#[derive(Default)]
pub(crate) struct ConnectionUrl {
    pub(crate) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) dbname: String,
    pub(crate) parameters: Parameters,
}

/// The texts of the URL's parameters. They may hold secrets.
#[derive(Clone, Default)]
pub(crate) struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// One that isn't empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|text| !text.is_empty())
    }

    fn read(query: &str, problems: &mut Problems) -> Self {
        let mut parameters = Self::default();
        let mut unknown = Vec::new();
        for parameter in query.split('&').filter(|_| !query.is_empty()) {
            let Some((name, value)) = parameter.split_once('=') else {
                problems.add(
                    DATABASE_URL,
                    "`name=value` parameters after the `?`, with `&` between them",
                );
                continue;
            };
            let value = decode(value, "parameters", problems);
            if let Some(name) = PARAMETERS.into_iter().find(|known| *known == name) {
                parameters.0.extend(value.map(|value| (name, value)));
            } else if !foreign::is_answered(name, value.as_deref(), problems) {
                unknown.push(name);
            }
        }
        if !unknown.is_empty() {
            report_unknown(&unknown, problems);
        }
        parameters
    }
}

impl ConnectionUrl {
    pub(crate) fn parse(url: &str, problems: &mut Problems) -> Self {
        let Some(rest) = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
        else {
            problems.add(
                DATABASE_URL,
                "a URL that begins with `postgres://` or `postgresql://`",
            );
            return Self::default();
        };
        let Some((credentials, rest)) = split_credentials(rest, problems) else {
            return Self::default();
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, dbname) = rest.split_once('/').unwrap_or((rest, ""));

        let mut parsed = Self::default();
        parsed.read_credentials(credentials, problems);
        parsed.parameters = Parameters::read(query, problems);
        parsed.read_hosts(hosts, problems);
        parsed.dbname = match dbname {
            "" => parsed.user.clone(),
            dbname => decode(dbname, "database", problems).unwrap_or_default(),
        };
        parsed
    }

    fn read_credentials(&mut self, credentials: &str, problems: &mut Problems) {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        if user.is_empty() {
            problems.add(DATABASE_URL, USER_EXPECTED);
        }
        self.user = decode(user, "user", problems).unwrap_or_default();
        self.password = decode(password, "password", problems)
            .filter(|password| !password.is_empty())
            .map(Secret::new);
    }

    /// Reads the hosts. As in libpq the parameters `host` and `port` beat what is before the path,
    /// each by itself, and a single port is that of every host.
    fn read_hosts(&mut self, authority: &str, problems: &mut Problems) {
        let (mut names, mut ports): (Vec<_>, Vec<_>) = authority.split(',').map(split_port).unzip();
        let host = self.parameters.filled("host").map(str::to_owned);
        let decoded: Vec<_> = match &host {
            Some(host) => host.split(',').map(|name| Some(name.to_owned())).collect(),
            None => names
                .drain(..)
                .map(|name| decode(name, "host", problems))
                .collect(),
        };
        if let Some(port) = self.parameters.filled("port") {
            ports = port.split(',').collect();
        }
        if let [port] = ports[..] {
            ports = iter::repeat_n(port, decoded.len()).collect();
        }
        if ports.len() != decoded.len() {
            problems.add_parameter("port", "one port, or as many as there are hosts");
            return;
        }
        let hosts = decoded.into_iter().zip(ports);
        self.hosts = hosts
            .filter_map(|(name, port)| host_at(name?, port, problems))
            .collect();
    }
}

/// Splits off the user and the password.
///
/// Nothing may be taken for a host, a database or a parameter, and so be named in some message,
/// that can be the rest of a password with a plain `@` or `/` in it.
fn split_credentials<'a>(rest: &'a str, problems: &mut Problems) -> Option<(&'a str, &'a str)> {
    match rest.split_once('@') {
        Some((credentials, rest)) if !credentials.contains('/') && !rest.contains('@') => {
            return Some((credentials, rest));
        }
        Some(_) => problems.add(
            DATABASE_URL,
            "one `@`, between the user or password and the host, \
             and no `/` before it; elsewhere they are written `%40` and `%2F`",
        ),
        None => problems.add(DATABASE_URL, USER_EXPECTED),
    }
    None
}

/// Splits a host before the path from its port, which may be missing.
fn split_port(host: &str) -> (&str, &str) {
    match host
        .strip_prefix('[')
        .and_then(|address| address.split_once(']'))
    {
        Some((address, "")) => (address, ""),
        // What follows the bracket but isn't a port fails as one.
        Some((address, port)) => (address, port.strip_prefix(':').unwrap_or("-")),
        None => host.split_once(':').unwrap_or((host, "")),
    }
}

fn host_at(name: String, port: &str, problems: &mut Problems) -> Option<Host> {
    if name.is_empty() || name.contains(char::is_control) {
        problems.add(DATABASE_URL, HOST_EXPECTED);
    }
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        "" => Some(DEFAULT_PORT),
        port => port.parse().ok().filter(|port| is_number && *port > 0),
    };
    if port.is_none() {
        problems.add(DATABASE_URL, PORT_EXPECTED);
    }
    port.map(|port| Host { name, port })
}

fn report_unknown(names: &[&str], problems: &mut Problems) {
    let names: Vec<_> = names
        .iter()
        .map(|name| {
            // What doesn't look like a name may not have been meant as one.
            let is_name = (1..=63).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            format!("`{}`", if is_name { name } else { "…" })
        })
        .collect();
    problems.add(
        DATABASE_URL,
        format!(
            "none of the parameters {}; supported are `{}`",
            names.join(", "),
            PARAMETERS.join("`, `")
        ),
    );
}

/// Decodes a part of the URL, as strictly as libpq does.
fn decode(text: &str, part: &str, problems: &mut Problems) -> Option<String> {
    let escapes_are_whole = text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2).unwrap_or_default();
        !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit)
    });
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .ok()
        .filter(|decoded| escapes_are_whole && !decoded.contains('\0'));
    if decoded.is_none() {
        problems.add(
            DATABASE_URL,
            format!(
                "its {part} to be percent-encoded UTF-8 without NUL; a `%` itself is written `%25`"
            ),
        );
    }
    decoded.map(Cow::into_owned)
}
