//! Values that can't be stored.

use std::fmt;

/// A value that can't be stored: why, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at `{path}`")]
pub(crate) struct Refused {
    /// The place inside the value.
    pub(crate) path: Path,
    /// What is wrong there.
    pub(crate) reason: Reason,
}

/// Why a value can't be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Reason {
    /// Arrays and objects inside each other, beyond the limit.
    #[error("arrays and objects nested deeper than {limit}")]
    TooDeep {
        /// The deepest that is stored.
        limit: usize,
    },
    /// The value as a whole takes too much; the path is where it no longer fits.
    #[error("a value of more than {limit} bytes, as text or as JSONB")]
    TooLarge {
        /// The most that is stored.
        limit: usize,
    },
    /// An array or object with too many members for JSONB.
    #[error("an array or object of {len} members, where JSONB takes {limit}")]
    TooManyMembers {
        /// How many there are.
        len: usize,
        /// The most that JSONB takes.
        limit: usize,
    },
    /// A `Number` whose text isn't what a JSON parser would give.
    #[error("a number in a form that can't be read back")]
    Number,
    /// NaN or an infinity.
    #[error("a number that is not finite")]
    NotFinite,
    /// An integer that neither an `i64` nor a `u64` holds.
    #[error("an integer beyond 64 bits")]
    IntegerOutOfRange,
    /// One key twice in an object, as of a flattened map that has the name of a field.
    #[error("one key twice in an object")]
    KeyTwice,
    /// A `Some` that is null, as `None` is.
    #[error("`Some` of what is null in JSON, which would be loaded as `None`")]
    SomeNull,
    /// A field of a state that its type, once it has read the JSON, doesn't write again.
    #[error("a field that isn't there when the state is loaded")]
    FieldLost,
    /// The JSON of a state isn't one for its own type.
    #[error("the type can't read its own JSON: {reason}")]
    Unreadable {
        /// What the type says.
        reason: String,
    },
    /// The value's own `Serialize` failed, or a map's key can't be a string.
    #[error("{message}")]
    Serialize {
        /// What it said.
        message: String,
    },
}

impl Refused {
    pub(crate) fn new(reason: Reason) -> Self {
        Self {
            path: Path::default(),
            reason,
        }
    }

    /// Adds the key under which the refused value lies. Callers add theirs on
    /// the way out, so that a value without fault costs no path.
    pub(crate) fn in_key(mut self, key: &str) -> Self {
        self.path.push_key(key);
        self
    }

    /// Adds the index at which the refused value lies.
    pub(crate) fn in_index(mut self, index: usize) -> Self {
        self.path.push_index(index);
        self
    }
}

impl serde::ser::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Serialize {
            message: message.to_string(),
        })
    }
}

/// A place inside a value, shown as `messages[3].score`; the value itself is `$`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// The innermost step first.
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// How much of a key is shown: a key may be as long as a value.
const KEY_SHOWN: usize = 64;

impl Path {
    pub(crate) fn push_key(&mut self, key: &str) {
        self.steps.push(Step::Key(key.to_owned()));
    }

    pub(crate) fn push_index(&mut self, index: usize) {
        self.steps.push(Step::Index(index));
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("$");
        }
        for (position, step) in self.steps.iter().rev().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_word(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    write!(f, "{dot}{key}")?;
                }
                Step::Key(key) => match key.char_indices().nth(KEY_SHOWN) {
                    Some((end, _)) => write!(f, "[{:?}…]", &key[..end])?,
                    None => write!(f, "[{key:?}]")?,
                },
            }
        }
        Ok(())
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= KEY_SHOWN
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
