//! What the server says about a session that was just opened.

use settings::TargetSessionAttrs;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::options::MARK;
use super::{Driver, Server};
use crate::connect_failure::ConnectFailure;
use crate::preparation::Preparation;

/// What a session may do, where it is, and whether the start-up options reached it.
pub(super) struct Session {
    standby: bool,
    read_only: bool,
    version: u32,
    encoding: String,
    jit: bool,
    pub(super) mark: Option<String>,
}

/// Asks the server. The answer is `None` if the connection ends instead. What the server reports
/// without being asked isn't used: behind a pooler it may be that of an earlier connection, and a
/// proxy may hide it.
pub(super) async fn ask(
    client: &Client,
    driver: &mut Driver,
) -> Result<Option<Session>, tokio_postgres::Error> {
    let ask = format!(
        "-- db::ask_session
         SELECT pg_catalog.pg_is_in_recovery(),
                pg_catalog.current_setting('transaction_read_only'),
                pg_catalog.current_setting('server_version_num'),
                pg_catalog.current_setting('server_encoding'),
                pg_catalog.current_setting('{MARK}', true),
                pg_catalog.current_setting('jit', true)"
    );
    let answer = tokio::select! {
        answer = client.simple_query(&ask) => answer?,
        ended = driver => return ended.map(|()| None),
    };
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(Session {
            standby: row.get(0) == Some("t"),
            read_only: row.get(1) == Some("on"),
            version: row
                .get(2)
                .and_then(|version| version.parse().ok())
                .unwrap_or(0),
            encoding: row.get(3).unwrap_or_default().to_owned(),
            mark: row.get(4).map(str::to_owned),
            jit: row.get(5) == Some("on"),
        }),
        _ => None,
    }))
}

impl Session {
    pub(super) fn check(&self, wanted: TargetSessionAttrs) -> Result<(), ConnectFailure> {
        match wanted {
            TargetSessionAttrs::ReadWrite if self.read_only => Err(ConnectFailure::ReadOnly),
            TargetSessionAttrs::ReadOnly if !self.read_only => Err(ConnectFailure::ReadWrite),
            TargetSessionAttrs::Primary if self.standby => Err(ConnectFailure::Standby),
            TargetSessionAttrs::Standby if !self.standby => Err(ConnectFailure::Primary),
            _ => Ok(()),
        }
    }

    pub(super) fn server(self, tls: &'static str, preparation: Preparation) -> Server {
        Server {
            version: self.version,
            encoding: self.encoding,
            jit: self.jit,
            tls,
            preparation,
        }
    }
}
