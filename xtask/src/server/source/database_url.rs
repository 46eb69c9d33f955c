//! The server that `DATABASE_URL` names.

use anyhow::Context as _;

use crate::server::cluster::Cluster;
use crate::server::{Machine, Place, Server, docker, log_in, url as address};

/// A server that doesn't work is an error: the person wants that server and no other. Where a version
/// is asked for, it is set aside, as it has the one that it has.
pub(super) fn server(machine: &Machine<'_>, major: Option<u32>) -> anyhow::Result<Option<Server>> {
    let Some(url) = url(machine) else {
        return Ok(None);
    };
    if major.is_some() {
        eprintln!("DATABASE_URL is set aside, as a server of one version is asked for");
        return Ok(None);
    }
    (address::probe(&url).and_then(|()| log_in::log_in(machine, &url)))
        .context("the server that DATABASE_URL names can't be used")?;
    Ok(Some(Server {
        place: Place::DatabaseUrl,
        url,
        programs: None,
        was_started: false,
    }))
}

/// `DATABASE_URL`, unless it is empty or names a server of this checkout. Those are started again when
/// they are down, exported or not.
pub(crate) fn url(machine: &Machine<'_>) -> Option<String> {
    let url = machine.var("DATABASE_URL")?;
    let own = Cluster::all(machine).into_iter().map(|it| it.url());
    let mut own = own.chain([docker::url(machine)]).flatten();
    (!own.any(|own| own == url)).then_some(url)
}
