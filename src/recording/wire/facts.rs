//! How the plain types are written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Bad, Get, Put, Read, Several, Wire, get_all, several};
use crate::memory::Address;
use crate::snapshot::{FindingId, Holders};
use crate::snapshot::{Frame, Location};

macro_rules! whole_numbers {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put(&self, to: &mut Put<'_>) {
                to.number(u64::try_from(*self).unwrap_or(u64::MAX));
            }
            fn get(from: &mut Get<'_>) -> Read<Self> {
                Self::try_from(from.number()?).map_err(|_error| Bad("a number is too large"))
            }
            fn is_absent(&self) -> bool {
                *self == 0
            }
            fn absent() -> Read<Self> {
                Ok(0)
            }
        }
    )* };
}

whole_numbers!(u8, u32, u64, usize);

impl Wire for i32 {
    fn put(&self, to: &mut Put<'_>) {
        to.signed(i64::from(*self));
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Self::try_from(from.signed()?).map_err(|_error| Bad("a number is too large"))
    }
}

impl Wire for i64 {
    fn put(&self, to: &mut Put<'_>) {
        to.signed(*self);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.signed()
    }
}

impl Wire for f64 {
    fn put(&self, to: &mut Put<'_>) {
        to.bytes.extend(self.to_bits().to_le_bytes());
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        let bytes = from.take(8)?.try_into().map_err(|_error| Bad("it ends too early"))?;
        Ok(Self::from_bits(u64::from_le_bytes(bytes)))
    }
}

impl Wire for bool {
    fn put(&self, to: &mut Put<'_>) {
        to.byte(u8::from(*self));
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Ok(from.byte()? != 0)
    }
    fn is_absent(&self) -> bool {
        !*self
    }
    fn absent() -> Read<Self> {
        Ok(false)
    }
}

impl Wire for Address {
    fn put(&self, to: &mut Put<'_>) {
        to.number(self.0);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.number().map(Self)
    }
}

impl Wire for Holders {
    fn put(&self, to: &mut Put<'_>) {
        Address::put_several(self, to);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Address::get_several(from).map(Self::from)
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn absent() -> Read<Self> {
        Ok(Self::default())
    }
}

impl Wire for FindingId {
    fn put(&self, to: &mut Put<'_>) {
        to.number(self.0);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.number().map(Self)
    }
    fn is_absent(&self) -> bool {
        *self == Self::NONE
    }
    fn absent() -> Read<Self> {
        Ok(Self::NONE)
    }
}

impl Wire for String {
    fn put(&self, to: &mut Put<'_>) {
        to.text(self);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Ok(from.known_text()?.as_ref().to_owned())
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn absent() -> Read<Self> {
        Ok(Self::new())
    }
}

impl Wire for Arc<str> {
    fn put(&self, to: &mut Put<'_>) {
        to.text(self);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.known_text()
    }
}

impl Wire for Arc<Location> {
    fn put(&self, to: &mut Put<'_>) {
        to.place(self);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.known_place()
    }
}

impl Wire for Duration {
    fn put(&self, to: &mut Put<'_>) {
        to.number(u64::try_from(self.as_nanos()).unwrap_or(u64::MAX));
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        from.number().map(Self::from_nanos)
    }
    fn is_absent(&self) -> bool {
        self.is_zero()
    }
    fn absent() -> Read<Self> {
        Ok(Self::ZERO)
    }
}

impl Wire for Timestamp {
    fn put(&self, to: &mut Put<'_>) {
        to.signed(nanos(*self));
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        at(from.signed()?)
    }
}

/// Since 1970; what is beyond the year 2262 is then.
pub fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

pub fn at(nanos: i64) -> Read<Timestamp> {
    Timestamp::from_nanosecond(nanos.into()).map_err(|_error| Bad("a time is beyond all years"))
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, to: &mut Put<'_>) {
        to.byte(u8::from(self.is_some()));
        if let Some(fact) = self {
            fact.put(to);
        }
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        if from.byte()? == 0 { Ok(None) } else { T::get(from).map(Some) }
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
    fn absent() -> Read<Self> {
        Ok(None)
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, to: &mut Put<'_>) {
        (**self).put(to);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        T::get(from).map(Self::new)
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn put(&self, to: &mut Put<'_>) {
        (**self).put(to);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        T::get(from).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, to: &mut Put<'_>) {
        self.0.put(to);
        self.1.put(to);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, to: &mut Put<'_>) {
        to.number(self.len() as u64);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Ok(get_all::<(K, V)>(from)?.into_iter().collect())
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn absent() -> Read<Self> {
        Ok(Self::new())
    }
}

impl Wire for Frame {
    fn put(&self, to: &mut Put<'_>) {
        to.place(&self.location);
        self.locals.put(to);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        Ok(Self { location: from.known_place()?, locals: Wire::get(from)? })
    }
}

/// Several things; several frames are a stack.
impl<T: Several> Wire for Vec<T> {
    fn put(&self, to: &mut Put<'_>) {
        T::put_several(self, to);
    }
    fn get(from: &mut Get<'_>) -> Read<Self> {
        T::get_several(from)
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn absent() -> Read<Self> {
        Ok(Self::new())
    }
}

impl Several for Frame {
    fn put_several(all: &[Self], to: &mut Put<'_>) {
        to.frames(all);
    }
    fn get_several(from: &mut Get<'_>) -> Read<Vec<Self>> {
        from.frames()
    }
}

several!(i32, String, Arc<str>, Address, Arc<Location>);
impl<A: Wire, B: Wire> Several for (A, B) {}
