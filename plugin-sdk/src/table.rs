//! Field tables and arrays that a plugin builds, for headers that nest.

use crate::value::{Array, Fields, Value, write_field};

/// A field table under construction.
///
/// ```
/// use sluicegate_sdk::{List, Table, Value};
///
/// let limits = Table::new().field("low", 207.0).field("high", 253.0);
/// let phases = List::new().item("L1").item("L3");
/// let seen = Table::new().field("limits", &limits).field("phases", &phases);
/// assert_eq!(seen.fields().iter().count(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<u8>);

/// An array of values under construction; see [`Table`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List(Vec<u8>);

// === impl Table ===

impl Table {
    /// A table without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a field. A name past 255 bytes is cut.
    #[must_use]
    pub fn field<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        write_field(&mut self.0, name, &value.into());
        self
    }

    /// The fields, to be read.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.0)
    }

    /// The same without the field of that name.
    pub(crate) fn without(self, name: &str) -> Self {
        if self.fields().get(name).is_none() {
            return self;
        }
        let kept = self.fields();
        kept.iter().filter(|(n, _)| *n != name).fold(Self::new(), |table, (n, v)| table.field(n, v))
    }

    /// A table of these fields.
    pub(crate) fn copy(fields: Fields<'_>) -> Self {
        fields.iter().fold(Self::new(), |table, (name, value)| table.field(name, value))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> From<&'a Table> for Value<'a> {
    fn from(table: &'a Table) -> Self {
        Self::Table(table.fields())
    }
}

// === impl List ===

impl List {
    /// An array without values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a value.
    #[must_use]
    pub fn item<'v>(mut self, value: impl Into<Value<'v>>) -> Self {
        value.into().write(&mut self.0);
        self
    }
}

impl<'a> From<&'a List> for Value<'a> {
    fn from(list: &'a List) -> Self {
        Self::Array(Array::new(&list.0))
    }
}
