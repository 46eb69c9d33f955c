//! What is given of each variable: typed, and not yet held against its bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::connection_url::Parameters;
use crate::error::Problems;
use crate::value::{Limit, Value};
use crate::variable::{self, DATABASE_URL};
use crate::{ChannelBinding, PoolMode, RootCertificates, TlsMode};

/// An entry for each variable. envy finds it by the variable's name in small letters.
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
        let known = pick(variables, problems).into_iter();
        let texts = known.filter_map(|(name, value)| match text(&name, value) {
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

/// Picks the known variables; an unknown one that looks like a misspelling is a problem.
fn pick(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Problems,
) -> BTreeMap<String, OsString> {
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
        report_unknown(&name, problems);
    }
    known
}

fn report_unknown(name: &str, problems: &mut Problems) {
    match misspelling(name) {
        Some(expected) => problems.add(name.escape_debug().to_string(), expected),
        // Most likely another program's, such as `DB_HOST`.
        None => tracing::debug!(variable = ?name, "ignored an unknown variable"),
    }
}

/// What was expected in place of an unknown name, if it looks like a misspelling.
pub(crate) fn misspelling(name: &str) -> Option<String> {
    let known = meant(name)?;
    Some(format!(
        "the name `{known}`, of which this looks like a misspelling"
    ))
}

/// The known name of which this one looks like a misspelling: one slip in eight letters.
///
/// With more, `DB_QUERY_TIMEOUT` would be taken for `DB_RETRY_TIMEOUT`.
fn meant(name: &str) -> Option<&'static str> {
    let capitals = name.to_uppercase();
    variable::NAMES
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&capitals, known), known))
        .min()
        .filter(|(slips, _)| slips * 8 <= name.len())
        .map(|(_, known)| known)
}

/// The text of a value, or what was expected of it.
fn text(name: &str, value: OsString) -> Result<String, &'static str> {
    let text = value.into_string().map_err(|_| "UTF-8")?;
    match text.trim() {
        // It is required.
        "" if name == DATABASE_URL => Err(variable::URL_IS_EMPTY),
        "" => Err("a value, or not to be set at all: it is empty"),
        text => Ok(text.to_owned()),
    }
}
