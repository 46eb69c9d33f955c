//! Whether a pooler manages the names of prepared statements.

use settings::PoolMode;
use tokio_postgres::Client;

use super::Driver;
use crate::preparation::Preparation;

/// A statement that looks at the names under which the server knows it. The driver's own names are
/// an `s` with a number: if the server knows it by other names alone, a pooler has given them.
const PROBE: &str = "-- db::probe
    SELECT coalesce(pg_catalog.bool_and(name OPERATOR(pg_catalog.!~) '^s[0-9]+$'), false)
    FROM pg_catalog.pg_prepared_statements
    WHERE pg_catalog.starts_with(statement, '-- db::probe')";

/// Finds out where the statements of a new connection can be prepared. The answer is `None` if the
/// connection ends instead.
///
/// Behind a pooler that is asked of each connection, because another pooler may stand behind the
/// same name later. A version wouldn't do: the pooler doesn't tell its own, and can be told not to
/// manage names.
pub(super) async fn ask(
    mode: PoolMode,
    client: &Client,
    driver: &mut Driver,
) -> Result<Option<Preparation>, tokio_postgres::Error> {
    if mode == PoolMode::Session {
        return Ok(Some(Preparation::InSession));
    }
    let is_managed = tokio::select! {
        answer = is_managed(client) => answer?,
        ended = driver => return ended.map(|()| None),
    };
    Ok(Some(match is_managed {
        true => Preparation::ByPooler,
        false => Preparation::Nowhere,
    }))
}

/// Prepares the probe in a transaction and forgets it there, so that a pooler that manages nothing
/// is left without it: all of that goes to one session.
async fn is_managed(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let (begun, prepared) = tokio::join!(
        client.batch_execute("BEGIN"),
        client.prepare_typed(PROBE, &[])
    );
    begun?;
    let answer = match prepared {
        Ok(prepared) => {
            let row = client.query_one(&prepared, &[]).await;
            // The row has a share in the statement, which must be closed before the transaction
            // ends.
            row.and_then(|row| row.try_get(0))
        }
        // Another client has left a statement of that name in the session.
        Err(error) => Err(error),
    };
    client.batch_execute("ROLLBACK").await?;
    match answer {
        Err(error) if error.as_db_error().is_some() => Ok(false),
        answer => answer,
    }
}
