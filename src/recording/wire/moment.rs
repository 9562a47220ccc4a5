//! Times that go on by themselves, written as moments of the target's clock.

use std::time::Duration;

use jiff::SignedDuration;

use super::{As, Bad, Get, Put, Read, Wire};
use crate::snapshot::Age;

/// Time that has passed, as the moment at which it began.
#[derive(Debug)]
pub struct Since;

/// Time that is left, as the moment at which it ends.
#[derive(Debug)]
pub struct Due;

/// Moments are told to the microsecond: what is computed from two clocks is not better.
const MICRO: i64 = 1000;

fn round(nanos: i64) -> i64 {
    nanos.saturating_add(MICRO / 2).div_euclid(MICRO)
}

impl Since {
    fn put_one(time: Duration, to: &mut Put<'_>) {
        let time = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        to.signed(round(to.clock.saturating_sub(time)));
    }

    fn get_one(from: &mut Get<'_>) -> Read<Duration> {
        let moment = from.signed()?.saturating_mul(MICRO);
        // What began this very moment may have been rounded to the next one.
        Ok(Duration::from_nanos(u64::try_from(from.clock.saturating_sub(moment)).unwrap_or(0)))
    }
}

impl As<Duration> for Since {
    fn put(fact: &Duration, to: &mut Put<'_>) {
        Self::put_one(*fact, to);
    }
    fn get(from: &mut Get<'_>) -> Read<Duration> {
        Self::get_one(from)
    }
    fn is_absent(_fact: &Duration) -> bool {
        false
    }
    fn absent() -> Read<Duration> {
        Err(Bad("a time is missing"))
    }
}

impl As<Option<Duration>> for Since {
    fn put(fact: &Option<Duration>, to: &mut Put<'_>) {
        Self::put_one(fact.unwrap_or_default(), to);
    }
    fn get(from: &mut Get<'_>) -> Read<Option<Duration>> {
        Self::get_one(from).map(Some)
    }
    fn is_absent(fact: &Option<Duration>) -> bool {
        fact.is_none()
    }
    fn absent() -> Read<Option<Duration>> {
        Ok(None)
    }
}

impl As<Option<Age>> for Since {
    fn put(fact: &Option<Age>, to: &mut Put<'_>) {
        if let Some(age) = fact {
            age.bound.put(to);
            age.source.put(to);
            Self::put_one(age.time, to);
        }
    }
    fn get(from: &mut Get<'_>) -> Read<Option<Age>> {
        let (bound, source) = (Wire::get(from)?, Wire::get(from)?);
        Self::get_one(from).map(|time| Some(Age { time, bound, source }))
    }
    fn is_absent(fact: &Option<Age>) -> bool {
        fact.is_none()
    }
    fn absent() -> Read<Option<Age>> {
        Ok(None)
    }
}

impl Due {
    fn put_one(time: SignedDuration, to: &mut Put<'_>) {
        let time = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        to.signed(round(to.clock.saturating_add(time)));
    }

    fn get_one(from: &mut Get<'_>) -> Read<SignedDuration> {
        let moment = from.signed()?.saturating_mul(MICRO);
        Ok(SignedDuration::from_nanos(moment.saturating_sub(from.clock)))
    }
}

impl As<Option<SignedDuration>> for Due {
    fn put(fact: &Option<SignedDuration>, to: &mut Put<'_>) {
        Self::put_one(fact.unwrap_or_default(), to);
    }
    fn get(from: &mut Get<'_>) -> Read<Option<SignedDuration>> {
        Self::get_one(from).map(Some)
    }
    fn is_absent(fact: &Option<SignedDuration>) -> bool {
        fact.is_none()
    }
    fn absent() -> Read<Option<SignedDuration>> {
        Ok(None)
    }
}
