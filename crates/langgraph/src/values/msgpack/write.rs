//! Writing MessagePack.

use crate::values::form::Malformed;

/// Writes values, and the heads of those that have parts.
#[derive(Debug, Default)]
pub(in crate::values) struct Writer(Vec<u8>);

/// The markers of a kind of value: up to `most`, the length is a part of the first one.
struct Markers {
    short: u8,
    most: usize,
    /// For a length of one byte, where the kind has that.
    one: Option<u8>,
    two: u8,
    four: u8,
}

const TEXT: Markers = Markers {
    short: 0xa0,
    most: 31,
    one: Some(0xd9),
    two: 0xda,
    four: 0xdb,
};
const ARRAY: Markers = Markers {
    short: 0x90,
    most: 15,
    one: None,
    two: 0xdc,
    four: 0xdd,
};
const MAP: Markers = Markers {
    short: 0x80,
    most: 15,
    one: None,
    two: 0xde,
    four: 0xdf,
};

impl Writer {
    pub(in crate::values) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(in crate::values) fn nil(&mut self) {
        self.0.push(0xc0);
    }

    pub(in crate::values) fn bool(&mut self, bool: bool) {
        self.0.push(if bool { 0xc3 } else { 0xc2 });
    }

    pub(in crate::values) fn unsigned(&mut self, number: u64) {
        let bytes = number.to_be_bytes();
        match number {
            0..0x80 => self.put(&bytes[7..]),
            0x80..0x100 => self.marked(0xcc, &bytes[7..]),
            0x100..0x1_0000 => self.marked(0xcd, &bytes[6..]),
            0x1_0000..0x1_0000_0000 => self.marked(0xce, &bytes[4..]),
            0x1_0000_0000.. => self.marked(0xcf, &bytes),
        }
    }

    pub(in crate::values) fn negative(&mut self, number: i64) {
        let bytes = number.to_be_bytes();
        match number {
            -0x20.. => self.put(&bytes[7..]),
            -0x80..-0x20 => self.marked(0xd0, &bytes[7..]),
            -0x8000..-0x80 => self.marked(0xd1, &bytes[6..]),
            -0x8000_0000..-0x8000 => self.marked(0xd2, &bytes[4..]),
            ..-0x8000_0000 => self.marked(0xd3, &bytes),
        }
    }

    pub(in crate::values) fn float(&mut self, float: f64) {
        self.marked(0xcb, &float.to_bits().to_be_bytes());
    }

    pub(in crate::values) fn text(&mut self, text: &str) -> Result<(), Malformed> {
        self.head(&TEXT, text.len())?;
        self.put(text.as_bytes());
        Ok(())
    }

    pub(in crate::values) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.length(bytes.len(), Some(0xc4), 0xc5, 0xc6)?;
        self.put(bytes);
        Ok(())
    }

    pub(in crate::values) fn array(&mut self, length: usize) -> Result<(), Malformed> {
        self.head(&ARRAY, length)
    }

    pub(in crate::values) fn map(&mut self, length: usize) -> Result<(), Malformed> {
        self.head(&MAP, length)
    }

    pub(in crate::values) fn ext(&mut self, code: i8, body: &[u8]) -> Result<(), Malformed> {
        match body.len() {
            1 => self.0.push(0xd4),
            2 => self.0.push(0xd5),
            4 => self.0.push(0xd6),
            8 => self.0.push(0xd7),
            16 => self.0.push(0xd8),
            length => self.length(length, Some(0xc7), 0xc8, 0xc9)?,
        }
        self.put(&code.to_be_bytes());
        self.put(body);
        Ok(())
    }

    /// Appends what is MessagePack already.
    pub(in crate::values) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn marked(&mut self, marker: u8, bytes: &[u8]) {
        self.0.push(marker);
        self.put(bytes);
    }

    fn head(&mut self, markers: &Markers, length: usize) -> Result<(), Malformed> {
        if length <= markers.most {
            self.0.push(markers.short | length as u8);
            return Ok(());
        }
        self.length(length, markers.one, markers.two, markers.four)
    }

    fn length(
        &mut self,
        length: usize,
        one: Option<u8>,
        two: u8,
        four: u8,
    ) -> Result<(), Malformed> {
        let length = u32::try_from(length).map_err(|_| Malformed::TooLong)?;
        let bytes = length.to_be_bytes();
        match (length, one) {
            (0..0x100, Some(one)) => self.marked(one, &bytes[3..]),
            (0..0x1_0000, _) => self.marked(two, &bytes[2..]),
            _ => self.marked(four, &bytes),
        }
        Ok(())
    }
}
