//! The words of the form: `docs/langgraph-values.md` has the table.

/// The key that says what an object stands for.
pub(crate) const TAG: &str = "!";

/// The key that has the order of an object's other keys.
pub(super) const ORDER: &str = "!order";

/// The key with the value of a form that has one.
pub(super) const VALUE: &str = "v";

/// How many arrays and objects may lie inside each other: a checkpointer stores no more.
pub(super) const MAX_DEPTH: usize = 100;

/// Whether a key means something in the form, now or in a later version.
pub(super) fn is_reserved(key: &str) -> bool {
    key.starts_with(TAG)
}

/// Whether a text can be one of the words of a tag.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ')
}

/// The tags that aren't followed by other words.
pub(super) mod tag {
    /// Bytes.
    pub(in crate::values) const BYTES: &str = "bytes";
    /// A Python `bytearray`, which is never inside another value.
    pub(in crate::values) const BYTEARRAY: &str = "bytearray";
    /// A float that JSON doesn't have.
    pub(in crate::values) const FLOAT: &str = "float";
    /// A map with other keys than texts, or with a key that comes twice.
    pub(in crate::values) const MAP: &str = "map";
    /// A map with a key that is reserved.
    pub(in crate::values) const DICT: &str = "dict";
    /// A value that is JSON text in LangGraph too.
    pub(in crate::values) const JSON: &str = "json";
    /// A value as LangGraph has it.
    pub(in crate::values) const OPAQUE: &str = "opaque";
    /// An extension type whose content isn't as LangGraph writes it.
    pub(in crate::values) const EXT: &str = "ext";
    /// A numpy array.
    pub(in crate::values) const NUMPY: &str = "6";
    /// A snapshot of a channel that is stored as its writes.
    pub(in crate::values) const SNAPSHOT: &str = "7";
}

/// The codes of LangGraph's extension types.
pub(super) mod code {
    pub(in crate::values) const CALL: i8 = 0;
    pub(in crate::values) const CALL_WITH_ARGUMENTS: i8 = 1;
    pub(in crate::values) const CALL_WITH_NAMES: i8 = 2;
    pub(in crate::values) const METHOD: i8 = 3;
    pub(in crate::values) const PYDANTIC_1: i8 = 4;
    pub(in crate::values) const PYDANTIC_2: i8 = 5;
    pub(in crate::values) const NUMPY: i8 = 6;
    pub(in crate::values) const SNAPSHOT: i8 = 7;
}

/// The method that LangGraph names for every object of pydantic 2, so that the tag needn't.
pub(super) const PYDANTIC_2_METHOD: &str = "model_validate_json";

/// What is wrong with JSON that was to be the form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It has a tag of a later version, or one that was never written.
    #[error("a tag isn't known")]
    UnknownTag,
    /// Something stands inside another value that can't.
    #[error("a tag is inside of another value")]
    Misplaced,
    /// A tagged object has other members than its tag asks for.
    #[error("a tagged object has other members than it should have")]
    Members,
    /// A key is reserved.
    #[error("a key that begins with `!` isn't known")]
    ReservedKey,
    /// The order of the keys isn't one.
    #[error("the order of an object's keys doesn't fit them")]
    Order,
    /// Bytes aren't base64.
    #[error("bytes aren't base64")]
    Base64,
    /// A number has more than 64 bits.
    #[error("a number has more than 64 bits")]
    Number,
    /// Arrays and objects are nested more than 100 deep.
    #[error("it is nested more than 100 deep")]
    TooDeep,
    /// A text, an array or an object is longer than MessagePack can say.
    #[error("it is longer than 4 GiB")]
    TooLong,
}
