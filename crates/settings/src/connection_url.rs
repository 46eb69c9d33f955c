use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::{Host, Secret, error::Problems, variable::DATABASE_URL};

const DEFAULT_PORT: u16 = 5432;
const USER_EXPECTED: &str = "a user before the host: `user@host`";

/// What the URL says, incomplete if there are problems with it.
#[derive(Default)]
pub(crate) struct ConnectionUrl {
    pub(crate) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) dbname: String,
    // The parameters' texts, not yet parsed.
    pub(crate) application_name: Option<String>,
    pub(crate) channel_binding: Option<String>,
    pub(crate) connect_timeout: Option<String>,
    pub(crate) options: Option<Secret>,
    pub(crate) sslcert: Option<String>,
    pub(crate) sslkey: Option<String>,
    pub(crate) sslmode: Option<String>,
    pub(crate) sslrootcert: Option<String>,
    pub(crate) target_session_attrs: Option<String>,
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

        // Nothing may be taken for a host, a database or a parameter, and so be
        // named in some message, that can be the rest of a password with a
        // plain `@` or `/` in it.
        let (credentials, rest) = match rest.split_once('@') {
            Some((credentials, rest)) if !credentials.contains('/') && !rest.contains('@') => {
                (credentials, rest)
            }
            Some(_) => {
                problems.add(
                    DATABASE_URL,
                    "one `@`, between the user or password and the host, \
                     and no `/` before it; elsewhere they are written `%40` and `%2F`",
                );
                return Self::default();
            }
            None => {
                problems.add(DATABASE_URL, USER_EXPECTED);
                return Self::default();
            }
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, dbname) = rest.split_once('/').unwrap_or((rest, ""));

        let mut parsed = Self::default();
        parsed.read_credentials(credentials, problems);
        parsed.read_hosts(hosts, problems);
        parsed.dbname = match dbname {
            "" => parsed.user.clone(),
            dbname => decode(dbname, "database", problems).unwrap_or_default(),
        };
        parsed.read_parameters(query, problems);
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

    fn read_hosts(&mut self, hosts: &str, problems: &mut Problems) {
        for host in hosts.split(',') {
            let (name, port) = match host
                .strip_prefix('[')
                .and_then(|address| address.split_once(']'))
            {
                Some((address, "")) => (address, ""),
                // What follows the bracket but isn't a port fails as one.
                Some((address, port)) => (address, port.strip_prefix(':').unwrap_or("-")),
                None => host.split_once(':').unwrap_or((host, "")),
            };
            let Some(name) = decode(name, "host", problems) else {
                continue;
            };
            if name.is_empty() || name.contains(char::is_control) {
                problems.add(
                    DATABASE_URL,
                    "a name, an address or a socket's directory for each host",
                );
            }
            let port = match port {
                "" => Some(DEFAULT_PORT),
                port => port.parse().ok().filter(|port| *port > 0),
            };
            let Some(port) = port else {
                problems.add(
                    DATABASE_URL,
                    "a port from 1 to 65535 after a host's `:`, and an IPv6 address in `[]`",
                );
                continue;
            };
            self.hosts.push(Host { name, port });
        }
    }

    fn read_parameters(&mut self, query: &str, problems: &mut Problems) {
        if query.is_empty() {
            return;
        }
        let mut unknown = Vec::new();
        for parameter in query.split('&') {
            let Some((name, value)) = parameter.split_once('=') else {
                problems.add(
                    DATABASE_URL,
                    "`name=value` parameters after the `?`, with `&` between them",
                );
                continue;
            };
            let value = decode(value, "parameters", problems);
            match name {
                "application_name" => self.application_name = value,
                "channel_binding" => self.channel_binding = value,
                "connect_timeout" => self.connect_timeout = value,
                "options" => self.options = value.map(Secret::new),
                "sslcert" => self.sslcert = value,
                "sslkey" => self.sslkey = value,
                "sslmode" => self.sslmode = value,
                "sslrootcert" => self.sslrootcert = value,
                "target_session_attrs" => self.target_session_attrs = value,
                name => unknown.push(name),
            }
        }
        if !unknown.is_empty() {
            report_unknown(&unknown, problems);
        }
    }
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
            "none of the parameters {}; supported are `application_name`, `channel_binding`, \
             `connect_timeout`, `options`, `sslcert`, `sslkey`, `sslmode`, `sslrootcert` and \
             `target_session_attrs`",
            names.join(", ")
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
