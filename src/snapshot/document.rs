//! A snapshot as it is read from the document that it was written as.
//!
//! A document may be of a newer version: fields that nobody knows are passed over, and what has an
//! unknown name is unknown, or what says least. It lacks what is never written (`serde(skip)`): what
//! findings rest on, and what tells one moment from the next. So nothing is concluded from it anew.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Why a document is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRead {
    /// It is no JSON of this kind.
    #[error("it is no dump as JSON: {0}")]
    NotADump(#[from] serde_json::Error),
    /// It is of another version of the shape.
    #[error("it has the shape `{found}`, and this version reads `{}`", super::SCHEMA)]
    OtherShape {
        /// What it says it is.
        found: String,
    },
}

impl super::Snapshot {
    /// Reads what `aiospy dump --json` or `aiospy check --json` has written.
    ///
    /// # Errors
    /// When it is no JSON, not of this shape, or of another version of it.
    pub fn from_json(text: &[u8]) -> Result<Self, NotRead> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let Head { schema } = serde_json::from_slice(text)?;
        if schema != super::SCHEMA {
            return Err(NotRead::OtherShape { found: schema });
        }
        let mut snapshot: Self = serde_json::from_slice(text)?;
        snapshot.during = super::Interval::at(since_epoch(snapshot.taken_at));
        Ok(snapshot)
    }
}

/// The time since 1970, as that of a clock.
pub(super) fn since_epoch(at: jiff::Timestamp) -> Duration {
    Duration::try_from(at.duration_since(jiff::Timestamp::UNIX_EPOCH)).unwrap_or_default()
}

/// One of several names; `None` for one that is not known.
pub(super) fn of_name<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let name = Option::<String>::deserialize(from)?;
    Ok(name.and_then(|name| named(&name)))
}

/// One of several names; the default, which says least, for one that is not known.
pub(super) fn of_name_or_least<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    of_name(from).map(Option::unwrap_or_default)
}

fn named<T: DeserializeOwned>(name: &str) -> Option<T> {
    T::deserialize(StrDeserializer::<serde::de::value::Error>::new(name)).ok()
}

/// A thing of one of several kinds; `None` for one of a kind that is not known.
pub(super) fn of_known<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any<T> {
        Known(T),
        Unknown(IgnoredAny),
    }
    Ok(match Any::deserialize(from)? {
        Any::Known(thing) => Some(thing),
        Any::Unknown(IgnoredAny) => None,
    })
}

/// The entries of a map in their order.
pub(super) struct Entries<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Entries(all))
            }
        }
        from.deserialize_map(InOrder(PhantomData))
    }
}

impl<T> Entries<T> {
    /// Those whose names are known.
    pub(super) fn known<K: DeserializeOwned>(self) -> impl Iterator<Item = (K, T)> {
        self.0.into_iter().filter_map(|(name, thing)| Some((named(&name)?, thing)))
    }
}
