//! What the table `meters` says of a meter.

use std::borrow::Cow;

use serde::Deserialize;
use sluicegate_sdk::Change;

/// A meter's row in the table `meters`; a column may be missing.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) region: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) tariff: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) transformer: Option<Cow<'a, str>>,
    pub(crate) rated_kva: Option<f64>,
    pub(crate) export: Option<bool>,
}

impl Row<'_> {
    /// The headers that it adds.
    pub(crate) fn tags(&self) -> Option<Change> {
        let columns = [
            ("region", &self.region),
            ("tariff", &self.tariff),
            ("transformer", &self.transformer),
        ];
        let told = columns.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        told.fold(None, |change: Option<Change>, (name, value)| {
            Some(change.unwrap_or_default().header(name, value))
        })
    }
}
