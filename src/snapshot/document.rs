//! A snapshot as it is read from the document that it was written as.
//!
//! A document may be of a newer version: fields that nobody knows are passed over, and what has an
//! unknown name is unknown, or what says least. It lacks what is never written (`serde(skip)`): what
//! findings rest on, and what tells one moment from the next. So nothing is concluded from it anew.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
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

/// Milliseconds, whole microseconds again.
fn micros<E: serde::de::Error>(ms: f64) -> Result<i64, E> {
    // 2^53 µs are 285 years; a float has no more digits.
    const MOST: f64 = 9e15;
    let micros = (ms * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "it is in this range")]
    let whole = (-MOST..=MOST).contains(&micros).then_some(micros as i64);
    whole.ok_or_else(|| E::custom("a time beyond all bounds"))
}

pub(crate) fn of_ms<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let micros = micros(f64::deserialize(from)?)?;
    u64::try_from(micros).map(Duration::from_micros).map_err(D::Error::custom)
}

pub(crate) fn of_opt_ms<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let Some(ms) = Option::<f64>::deserialize(from)? else { return Ok(None) };
    u64::try_from(micros(ms)?).map(|it| Some(Duration::from_micros(it))).map_err(D::Error::custom)
}

pub(super) fn of_opt_signed_ms<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<SignedDuration>, D::Error> {
    let ms = Option::<f64>::deserialize(from)?;
    ms.map(|ms| micros(ms).map(SignedDuration::from_micros)).transpose()
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
