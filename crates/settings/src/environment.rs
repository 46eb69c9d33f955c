use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use serde::Deserialize;

use crate::{error::Problems, variable};

/// The text of every variable, trimmed and not yet parsed. envy looks for a
/// field's name in capitals.
#[derive(Deserialize)]
pub(crate) struct Environment {
    pub(crate) database_url: Option<String>,
    pub(crate) db_pool_min: Option<String>,
    pub(crate) db_pool_max: Option<String>,
    pub(crate) db_acquire_timeout: Option<String>,
    pub(crate) db_connect_timeout: Option<String>,
    pub(crate) db_startup_timeout: Option<String>,
    pub(crate) db_statement_timeout: Option<String>,
    pub(crate) db_network_timeout: Option<String>,
    pub(crate) db_retry_timeout: Option<String>,
    pub(crate) db_retry_attempts: Option<String>,
    pub(crate) db_retry_pause: Option<String>,
    pub(crate) db_idle_timeout: Option<String>,
    pub(crate) db_max_lifetime: Option<String>,
    pub(crate) db_application_name: Option<String>,
    pub(crate) db_schema: Option<String>,
    pub(crate) db_sslmode: Option<String>,
    pub(crate) db_sslrootcert: Option<String>,
    pub(crate) db_sslcert: Option<String>,
    pub(crate) db_sslkey: Option<String>,
    pub(crate) db_channel_binding: Option<String>,
    pub(crate) db_pool_mode: Option<String>,
}

impl Environment {
    /// Picks the known variables; a later one replaces an earlier one of the
    /// same name.
    pub(crate) fn pick(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Problems,
    ) -> Self {
        let mut given = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for (name, value) in variables {
            // A name that isn't UTF-8 can't be a known one.
            let name = name.to_string_lossy();
            if variable::NAMES.contains(&&*name) {
                given.insert(name.into_owned(), value);
            } else if name.starts_with("DB_") {
                unknown.insert(name.into_owned());
            }
        }
        for name in unknown {
            warn_about_unknown(&name);
        }

        let texts = given.into_iter().filter_map(|(name, value)| {
            let Ok(text) = value.into_string() else {
                problems.add(name, "UTF-8");
                return None;
            };
            let text = text.trim();
            if text.is_empty() {
                problems.add(name, "a value, or not to be set at all: it is empty");
                return None;
            }
            Some((name, text.to_owned()))
        });
        // envy parses nothing here, for it would stop at the first bad value
        // and repeat it in its error. All that's left to fail is a name that
        // comes twice, and a map has none.
        envy::from_iter(texts).expect("optional strings from a map should always deserialise")
    }
}

fn warn_about_unknown(name: &str) {
    let capitals = name.to_uppercase();
    let closest = variable::NAMES
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&capitals, known), known))
        .min()
        // One slip in five letters: `DB_POOL_SIZE` isn't meant to be
        // `DB_POOL_MODE`.
        .filter(|(distance, _)| distance * 5 <= name.len());
    if let Some((_, known)) = closest {
        tracing::warn!(
            variable = ?name,
            did_you_mean = known,
            "ignored an unknown variable that looks misspelt"
        );
    } else {
        tracing::warn!(variable = ?name, "ignored an unknown variable");
    }
}
