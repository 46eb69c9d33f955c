//! The parameters of statements: each is named once, as the field of a struct.
//!
//! A struct is a group of parameters. A statement says by its type which groups it takes, in their
//! order: `Query<(KnownThread, PendingWrites)>`. The text of the statement names a parameter by its
//! field, in braces; the type in SQL follows from the type of the field.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::SystemTime;

use db::{Statement, ToSql, Type};

use crate::codec::ContentHash;
use crate::postgres::wire::Jsonb;

/// A statement that takes the parameters `P`.
#[derive(Debug)]
pub(in crate::postgres) struct Query<P> {
    statement: Statement,
    parameters: PhantomData<P>,
}

/// A statement with its parameters, as it is sent.
#[derive(Debug)]
pub(in crate::postgres) struct Bound<'p> {
    pub(in crate::postgres) statement: Cow<'p, Statement>,
    pub(in crate::postgres) values: Vec<&'p (dyn ToSql + Sync)>,
}

/// The name and the type of a parameter.
pub(super) type Parameter = (&'static str, Type);

/// Parameters that a statement takes: a group, or pairs of them.
pub(in crate::postgres) trait Parameters {
    /// Appends them in their order.
    fn declare(parameters: &mut Vec<Parameter>);
}

/// Values for the parameters `P`: a reference to a group, or pairs of them.
pub(in crate::postgres) trait Values<'p, P> {
    /// Appends them in the order in which `P` declares them.
    fn append(self, values: &mut Vec<&'p (dyn ToSql + Sync)>);
}

/// A type whose values are sent as one type of SQL.
pub(in crate::postgres) trait SqlType: ToSql + Sync {
    const TYPE: Type;
}

/// A type whose values may be items of an array.
pub(in crate::postgres) trait ArrayItem: SqlType {
    const ARRAY: Type;
}

impl<P: Parameters> Query<P> {
    /// Makes a statement of text whose parameters are numbered.
    pub(super) fn new(statement: Statement) -> Self {
        Self {
            statement,
            parameters: PhantomData,
        }
    }

    /// The statement with values for its parameters.
    pub(in crate::postgres) fn with<'p>(&'p self, values: impl Values<'p, P>) -> Bound<'p> {
        let mut bound = Bound {
            statement: Cow::Borrowed(&self.statement),
            values: Vec::with_capacity(self.statement.types().len()),
        };
        values.append(&mut bound.values);
        bound
    }
}

/// Declares a group of parameters: a struct whose fields are the parameters, in their order.
macro_rules! parameters {
    (
        $(#[$of_group:meta])*
        struct $Group:ident $(<$a:lifetime>)? {
            $($(#[$of_field:meta])* $field:ident: $Field:ty,)*
        }
    ) => {
        $(#[$of_group])*
        #[derive(Debug)]
        pub(in crate::postgres) struct $Group $(<$a>)? {
            $($(#[$of_field])* pub(in crate::postgres) $field: $Field,)*
        }

        impl $(<$a>)? $crate::postgres::sql::parameters::Parameters for $Group $(<$a>)? {
            fn declare(parameters: &mut Vec<$crate::postgres::sql::parameters::Parameter>) {
                use $crate::postgres::sql::parameters::SqlType;
                parameters.extend([$((stringify!($field), <$Field as SqlType>::TYPE)),*]);
            }
        }

        impl<'p $(, $a)?> $crate::postgres::sql::parameters::Values<'p, $Group $(<$a>)?>
            for &'p $Group $(<$a>)?
        {
            fn append(self, values: &mut Vec<&'p (dyn ::db::ToSql + Sync)>) {
                let $Group { $($field),* } = self;
                values.extend([$($field as &'p (dyn ::db::ToSql + Sync)),*]);
            }
        }
    };
}
pub(super) use parameters;

/// None.
impl Parameters for () {
    fn declare(_: &mut Vec<Parameter>) {}
}

impl Values<'_, ()> for () {
    fn append(self, _: &mut Vec<&(dyn ToSql + Sync)>) {}
}

impl<P: Parameters, Q: Parameters> Parameters for (P, Q) {
    fn declare(parameters: &mut Vec<Parameter>) {
        P::declare(parameters);
        Q::declare(parameters);
    }
}

impl<'p, P, Q, V: Values<'p, P>, W: Values<'p, Q>> Values<'p, (P, Q)> for (V, W) {
    fn append(self, values: &mut Vec<&'p (dyn ToSql + Sync)>) {
        self.0.append(values);
        self.1.append(values);
    }
}

impl<T: SqlType> SqlType for Option<T> {
    const TYPE: Type = T::TYPE;
}

impl<T: ArrayItem> ArrayItem for Option<T> {
    const ARRAY: Type = T::ARRAY;
}

impl<T: ArrayItem> SqlType for Vec<T> {
    const TYPE: Type = T::ARRAY;
}

impl<T: ArrayItem> SqlType for &[T] {
    const TYPE: Type = T::ARRAY;
}

/// Says as which types of SQL values and arrays of a type are sent.
macro_rules! sql_types {
    ($($Type:ty => $TYPE:ident, $ARRAY:ident;)*) => {
        $(
            impl SqlType for $Type {
                const TYPE: Type = Type::$TYPE;
            }

            impl ArrayItem for $Type {
                const ARRAY: Type = Type::$ARRAY;
            }
        )*
    };
}

sql_types! {
    bool => BOOL, BOOL_ARRAY;
    i32 => INT4, INT4_ARRAY;
    i64 => INT8, INT8_ARRAY;
    &str => TEXT, TEXT_ARRAY;
    String => TEXT, TEXT_ARRAY;
    Cow<'_, str> => TEXT, TEXT_ARRAY;
    SystemTime => TIMESTAMPTZ, TIMESTAMPTZ_ARRAY;
    Jsonb<'_> => JSONB, JSONB_ARRAY;
    &[u8] => BYTEA, BYTEA_ARRAY;
    ContentHash => BYTEA, BYTEA_ARRAY;
}
