//! What is given of each variable: typed, and not yet held against its bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::connection_url::Parameters;
use crate::error::Problems;
use crate::value::{Limit, Value};
use crate::variable;
use crate::{ChannelBinding, PoolMode, RootCertificates, TlsMode};

/// An entry for each variable, by its name in small letters, as envy has it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Given {
    pub(crate) database_url: Entry<String>,
    pub(crate) db_pool_min: Entry<u32>,
    pub(crate) db_pool_max: Entry<u32>,
    pub(crate) db_acquire_timeout: Entry<Duration>,
    pub(crate) db_connect_timeout: Entry<Duration>,
    pub(crate) db_startup_timeout: Entry<Duration>,
    pub(crate) db_statement_timeout: Entry<Limit>,
    pub(crate) db_network_timeout: Entry<Duration>,
    pub(crate) db_retry_timeout: Entry<Duration>,
    pub(crate) db_retry_attempts: Entry<u32>,
    pub(crate) db_retry_pause: Entry<Duration>,
    pub(crate) db_idle_timeout: Entry<Limit>,
    pub(crate) db_max_lifetime: Entry<Limit>,
    pub(crate) db_application_name: Entry<Option<String>>,
    pub(crate) db_schema: Entry<Option<String>>,
    pub(crate) db_sslmode: Entry<TlsMode>,
    pub(crate) db_sslrootcert: Entry<Option<RootCertificates>>,
    pub(crate) db_sslcert: Entry<Option<PathBuf>>,
    pub(crate) db_sslkey: Entry<Option<PathBuf>>,
    pub(crate) db_channel_binding: Entry<ChannelBinding>,
    pub(crate) db_pool_mode: Entry<PoolMode>,
    /// Those of the URL.
    #[serde(skip)]
    pub(crate) parameters: Parameters,
}

/// What is given of one variable.
#[derive(Clone, Debug, Default)]
pub(crate) enum Entry<T> {
    #[default]
    Missing,
    /// A text that isn't one of such a value.
    Malformed,
    Value(T),
}

/// Never fails, because envy would stop at the first bad value and repeat it in its error.
impl<'de, T: Value> Deserialize<'de> for Entry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(T::parse(&text).map_or(Self::Malformed, Self::Value))
    }
}

impl Given {
    /// Reads the known variables; a later one replaces an earlier one of the same name.
    pub(crate) fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Problems,
    ) -> Self {
        let texts = pick(variables)
            .into_iter()
            .filter_map(|(name, value)| match text(value) {
                Ok(text) => Some((name, text)),
                Err(expected) => {
                    problems.add(name, expected);
                    None
                }
            });
        // What's left to fail is a name that comes twice, and a map has none.
        envy::from_iter(texts).expect("entries from a map should always deserialise")
    }
}

fn pick(variables: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<String, OsString> {
    let mut known = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for (name, value) in variables {
        // A name that isn't UTF-8 can't be a known one.
        let name = name.to_string_lossy();
        if variable::NAMES.contains(&&*name) {
            known.insert(name.into_owned(), value);
        } else if name.starts_with("DB_") {
            unknown.insert(name.into_owned());
        }
    }
    for name in unknown {
        warn_about_unknown(&name);
    }
    known
}

/// The text of a value, or what was expected of it.
fn text(value: OsString) -> Result<String, &'static str> {
    let text = value.into_string().map_err(|_| "UTF-8")?;
    match text.trim() {
        "" => Err("a value, or not to be set at all: it is empty"),
        text => Ok(text.to_owned()),
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
