//! Values as the server sends and receives them.

use std::error::Error;

use bytes::BytesMut;
use db::types::{IsNull, to_sql_checked};
use db::{FromSql, ToSql, Type};

use crate::codec::ContentHash;

/// The only version of JSONB's binary format.
const VERSION: u8 = 1;

/// JSON text for or from a JSONB column: on the wire a version byte comes before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jsonb<'a>(pub(super) &'a [u8]);

impl ToSql for Jsonb<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Jsonb<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw.split_first() {
            Some((&VERSION, text)) => Ok(Self(text)),
            _ => Err("unknown version of JSONB's binary format".into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }
}

impl ToSql for ContentHash {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::BYTEA
    }

    to_sql_checked!();
}
