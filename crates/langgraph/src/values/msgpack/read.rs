//! Reading MessagePack token by token.

/// A value, or the head of one that has parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::values) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// So many items follow.
    Array(usize),
    /// So many pairs follow.
    Map(usize),
    Ext(i8, &'a [u8]),
}

/// What a value takes at most besides its text, in bytes: twice its size, because a list grows by
/// doubling.
const VALUE_MEMORY: usize = 64;

/// What a small object takes, in bytes: it reserves memory for eleven members.
const OBJECT_MEMORY: usize = 640;

impl Token<'_> {
    /// What its JSON takes, about.
    fn memory(self) -> usize {
        VALUE_MEMORY
            + match self {
                Self::Text(text) => text.len(),
                Self::Bytes(bytes) => OBJECT_MEMORY + bytes.len(),
                // The body may be read as a value, which takes memory of its own.
                Self::Map(_) | Self::Ext(..) => OBJECT_MEMORY,
                Self::Float(float) if !float.is_finite() => OBJECT_MEMORY,
                _ => 0,
            }
    }
}

/// Reads tokens. What is cut off, isn't MessagePack, or could be written shorter is `None`, and so is
/// what would need more memory than is left.
#[derive(Debug)]
pub(in crate::values) struct Reader<'a> {
    rest: &'a [u8],
    /// How much memory what is still to be read may take, in bytes.
    memory: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::values) fn new(bytes: &'a [u8], memory: usize) -> Self {
        Self {
            rest: bytes,
            memory,
        }
    }

    pub(in crate::values) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads the body of an extension type with `read`, from the same memory.
    pub(in crate::values) fn inside<T>(
        &mut self,
        body: &'a [u8],
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut inner = Self::new(body, self.memory);
        let value = read(&mut inner);
        self.memory = inner.memory;
        value
    }

    pub(in crate::values) fn token(&mut self) -> Option<Token<'a>> {
        let token = self.any_token()?;
        let left = self.memory.checked_sub(token.memory());
        // Nothing is read after what was too large.
        self.memory = left.unwrap_or(0);
        left.map(|_| token)
    }

    fn any_token(&mut self) -> Option<Token<'a>> {
        let marker = self.number(1)?;
        let token = match marker {
            0x00..=0x7f => Token::Unsigned(marker),
            0x80..=0x8f => Token::Map(low_bits(marker, 0x0f)),
            0x90..=0x9f => Token::Array(low_bits(marker, 0x0f)),
            0xa0..=0xbf => self.text(low_bits(marker, 0x1f))?,
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Bool(marker == 0xc3),
            0xc4 => self.bytes(1, 0)?,
            0xc5 => self.bytes(2, 1 << 8)?,
            0xc6 => self.bytes(4, 1 << 16)?,
            0xc7 => self.ext(1, 0)?,
            0xc8 => self.ext(2, 1 << 8)?,
            0xc9 => self.ext(4, 1 << 16)?,
            0xcb => Token::Float(f64::from_bits(self.number(8)?)),
            0xcc => self.unsigned(1, 1 << 7)?,
            0xcd => self.unsigned(2, 1 << 8)?,
            0xce => self.unsigned(4, 1 << 16)?,
            0xcf => self.unsigned(8, 1 << 32)?,
            0xd0 => self.negative(1, -1 << 5)?,
            0xd1 => self.negative(2, -1 << 7)?,
            0xd2 => self.negative(4, -1 << 15)?,
            0xd3 => self.negative(8, -1 << 31)?,
            0xd4..=0xd8 => self.ext_of(1 << (marker - 0xd4))?,
            0xd9 => self.text_after_length(1, 1 << 5)?,
            0xda => self.text_after_length(2, 1 << 8)?,
            0xdb => self.text_after_length(4, 1 << 16)?,
            0xdc => Token::Array(self.length(2, 1 << 4)?),
            0xdd => Token::Array(self.length(4, 1 << 16)?),
            0xde => Token::Map(self.length(2, 1 << 4)?),
            0xdf => Token::Map(self.length(4, 1 << 16)?),
            0xe0..=0xff => Token::Negative(marker as i64 - 0x100),
            // 0xc1 is nothing, and 0xca is a float of 32 bits.
            _ => return None,
        };
        Some(token)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// A big-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A length that has no shorter form.
    fn length(&mut self, width: usize, least: usize) -> Option<usize> {
        let length = usize::try_from(self.number(width)?).ok()?;
        (length >= least).then_some(length)
    }

    fn unsigned(&mut self, width: usize, least: u64) -> Option<Token<'a>> {
        let number = self.number(width)?;
        (number >= least).then_some(Token::Unsigned(number))
    }

    /// A number below `bound`, above which there is a shorter form.
    fn negative(&mut self, width: usize, bound: i64) -> Option<Token<'a>> {
        let unused = 64 - 8 * width;
        let number = (self.number(width)? << unused) as i64 >> unused;
        (number < bound).then_some(Token::Negative(number))
    }

    fn text_after_length(&mut self, width: usize, least: usize) -> Option<Token<'a>> {
        let length = self.length(width, least)?;
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Option<Token<'a>> {
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        Some(Token::Text(text))
    }

    fn bytes(&mut self, width: usize, least: usize) -> Option<Token<'a>> {
        let length = self.length(width, least)?;
        Some(Token::Bytes(self.take(length)?))
    }

    fn ext(&mut self, width: usize, least: usize) -> Option<Token<'a>> {
        let length = self.length(width, least)?;
        let has_short_form = matches!(length, 1 | 2 | 4 | 8 | 16);
        if has_short_form {
            return None;
        }
        self.ext_of(length)
    }

    fn ext_of(&mut self, length: usize) -> Option<Token<'a>> {
        let code = self.number(1)? as u8 as i8;
        Some(Token::Ext(code, self.take(length)?))
    }
}

fn low_bits(marker: u64, mask: u64) -> usize {
    (marker & mask) as usize
}
