//! Times in a document: milliseconds, with microseconds as the fraction.
//!
//! For `#[serde(with = "millis")]`, and below it for times that may be absent or negative.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(ms(time.as_micros().cast_signed()))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let micros = micros(f64::deserialize(from)?)?;
    u64::try_from(micros).map(Duration::from_micros).map_err(D::Error::custom)
}

/// An instant with milliseconds: more digits say nothing, and some programs refuse them.
pub(crate) mod instant {
    use jiff::Timestamp;
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{at:.3}"))
    }

    /// Of one that may be absent.
    #[expect(clippy::ref_option, reason = "the shape serde asks for")]
    pub(crate) fn opt<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serialize(at, to),
            None => to.serialize_none(),
        }
    }
}

/// Of one that may be absent.
#[expect(clippy::ref_option, reason = "the shape serde asks for")]
pub(crate) mod opt {
    use super::{Deserialize, Deserializer, Duration, Serializer, micros, ms};
    use serde::de::Error as _;

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_f64(ms(time.as_micros().cast_signed())),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(ms) = Option::<f64>::deserialize(from)? else { return Ok(None) };
        let micros = u64::try_from(micros(ms)?);
        micros.map(|it| Some(Duration::from_micros(it))).map_err(D::Error::custom)
    }
}

/// Of one that may be absent, and negative.
#[expect(clippy::ref_option, reason = "the shape serde asks for")]
pub(crate) mod opt_signed {
    use jiff::SignedDuration;

    use super::{Deserialize, Deserializer, Serializer, micros, ms};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SignedDuration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_f64(ms(time.as_micros())),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SignedDuration>, D::Error> {
        let ms = Option::<f64>::deserialize(from)?;
        ms.map(|ms| micros(ms).map(SignedDuration::from_micros)).transpose()
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn ms(micros: i128) -> f64 {
    micros as f64 / 1000.0
}

/// Whole microseconds again.
fn micros<E: serde::de::Error>(ms: f64) -> Result<i64, E> {
    // A float has no more digits.
    const MOST: f64 = 9e15;
    let micros = (ms * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "it is in this range")]
    let whole = (-MOST..=MOST).contains(&micros).then_some(micros as i64);
    whole.ok_or_else(|| E::custom("a time beyond all bounds"))
}
