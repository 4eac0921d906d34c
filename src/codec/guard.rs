//! Bounds around a serde deserializer: depth, number of entries, and what may be allocated.
//!
//! Knows nothing about bytes or bincode; it passes every question on and watches the answers.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// What one payload may still spend.
pub(super) struct Budget {
    payload_len: usize,
    elements: Cell<usize>,
    trip: Cell<Option<Trip>>,
}

impl Budget {
    pub(super) fn new(payload_len: usize) -> Self {
        let elements = payload_len.saturating_add(SPARE_ELEMENTS);
        Self {
            payload_len,
            elements: Cell::new(elements),
            trip: Cell::new(None),
        }
    }

    /// The first bound that was passed.
    pub(super) fn trip(&self) -> Option<Trip> {
        self.trip.get()
    }

    /// Books all entries of a list before the first is read.
    ///
    /// Every entry that is not of size zero has a byte of its own, its own length if nothing else,
    /// so an honest payload never claims more entries than it has bytes.
    #[inline]
    fn spend<E: Error>(&self, claimed: Option<usize>) -> Result<(), E> {
        match claimed.and_then(|claimed| self.elements.get().checked_sub(claimed)) {
            Some(left) => {
                self.elements.set(left);
                Ok(())
            }
            None => Err(self.fail(Trip::TooManyElements)),
        }
    }

    #[cold]
    fn fail<E: Error>(&self, trip: Trip) -> E {
        if self.trip.get().is_none() {
            self.trip.set(Some(trip));
        }
        E::custom("a bound on payloads was passed")
    }
}

/// A bound that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trip {
    TooDeep,
    TooManyElements,
}

/// Any serde object (deserializer, visitor, access, seed) within the bounds of a budget.
///
/// One type for all of them, since what they carry is the same. The depth is passed by value: it
/// needs no giving back, on no path.
pub(super) struct Guarded<'b, X> {
    inner: X,
    budget: &'b Budget,
    /// How many more containers may be entered.
    depth: u8,
}

impl<'b, X> Guarded<'b, X> {
    pub(super) fn new(inner: X, budget: &'b Budget) -> Self {
        Self {
            inner,
            budget,
            depth: MAX_DEPTH,
        }
    }

    /// The same bounds around a part of this.
    #[inline]
    fn around<Y>(&self, inner: Y) -> Guarded<'b, Y> {
        Guarded {
            inner,
            budget: self.budget,
            depth: self.depth,
        }
    }
}

impl<'b, 'de, D: Deserializer<'de>> Guarded<'b, D> {
    /// Splits into the deserializer and a guarded visitor, one container deeper.
    #[inline]
    fn enter<V>(self, visitor: V) -> Result<(D, Guarded<'b, V>), D::Error> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok((
                self.inner,
                Guarded {
                    inner: visitor,
                    budget: self.budget,
                    depth,
                },
            )),
            None => Err(self.budget.fail(Trip::TooDeep)),
        }
    }
}

/// Values without parts pass untouched.
macro_rules! pass {
    ($($method:ident => $to:ident,)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$to(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guarded<'_, D> {
    type Error = D::Error;

    pass! {
        deserialize_any => deserialize_any,
        deserialize_bool => deserialize_bool,
        deserialize_i8 => deserialize_i8,
        deserialize_i16 => deserialize_i16,
        deserialize_i32 => deserialize_i32,
        deserialize_i64 => deserialize_i64,
        deserialize_i128 => deserialize_i128,
        deserialize_u8 => deserialize_u8,
        deserialize_u16 => deserialize_u16,
        deserialize_u32 => deserialize_u32,
        deserialize_u64 => deserialize_u64,
        deserialize_u128 => deserialize_u128,
        deserialize_f32 => deserialize_f32,
        deserialize_f64 => deserialize_f64,
        deserialize_char => deserialize_char,
        deserialize_str => deserialize_str,
        // The borrowed forms look at what is there; the owned ones allocate what is claimed.
        deserialize_string => deserialize_str,
        deserialize_bytes => deserialize_bytes,
        deserialize_byte_buf => deserialize_bytes,
        deserialize_unit => deserialize_unit,
        deserialize_identifier => deserialize_identifier,
        deserialize_ignored_any => deserialize_ignored_any,
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_option(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_newtype_struct(name, visitor)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_seq(Claiming(visitor))
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_map(Claiming(visitor))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_tuple_struct(name, len, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_struct(name, fields, visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let (inner, visitor) = self.enter(visitor)?;
        inner.deserialize_enum(name, variants, visitor)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Containers whose number of parts the type fixes: nothing to book.
impl<'de, V: Visitor<'de>> Visitor<'de> for Guarded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(formatter)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.visit_some(inner)
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.visit_newtype_struct(inner)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.around(inner);
        self.inner.visit_seq(inner)
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.around(inner);
        self.inner.visit_enum(inner)
    }
}

/// Containers whose number of parts the payload claims.
struct Claiming<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Claiming<Guarded<'_, V>> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.0.budget.spend(inner.size_hint())?;
        self.0.visit_seq(inner)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.0.budget.spend(inner.size_hint())?;
        let inner = self.0.around(inner);
        self.0.inner.visit_map(inner)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Guarded<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.around(inner);
        self.inner.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        self.inner.next_element_seed(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner
            .size_hint()
            .map(|claimed| claimed.min(self.budget.payload_len))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        self.inner.next_key_seed(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.next_value_seed(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.inner
            .size_hint()
            .map(|claimed| claimed.min(self.budget.payload_len))
    }
}

impl<'b, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Guarded<'b, A> {
    type Error = A::Error;
    type Variant = Guarded<'b, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let Self {
            inner,
            budget,
            depth,
        } = self;
        // The seed reads the number of the variant, which has no parts.
        let (value, inner) = inner.variant_seed(seed)?;
        Ok((
            value,
            Guarded {
                inner,
                budget,
                depth,
            },
        ))
    }
}

/// The content of a variant is not one deeper than its enum: the two are one container.
impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

/// How many containers may be inside each other: lists, maps, tuples, structs, enums and options.
///
/// Each costs stack, of which a thread may have 2 MiB: 64 leave 32 KiB for one, far more than the
/// frames of any sensible type need without optimization. Nobody nests arguments that deep by hand.
pub(super) const MAX_DEPTH: u8 = 64;

/// Entries that a payload may claim beyond its length, for short lists of entries of size zero.
const SPARE_ELEMENTS: usize = 1024;
