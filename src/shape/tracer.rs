//! The recorder: a deserializer that has no data, answers anything, and notes the question.
//!
//! It asks and answers as the codec does: fields by position, variants by number, no names.

use std::any::type_name;
use std::ops::Range;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::trace::{Asked, Halt, Id, Key, Kind, Sample, Trace};

/// Answers for one place.
pub(super) struct Tracer<'t> {
    trace: &'t mut Trace,
    at: Id,
    answer: Answer,
    depth: u8,
}

/// How much to answer where there is a choice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// One entry for every list, to see what it holds.
    Full,
    /// As little as possible, to get out of a type inside itself.
    Least,
}

impl<'t> Tracer<'t> {
    pub(super) fn new(trace: &'t mut Trace) -> Self {
        Self {
            trace,
            at: Trace::ROOT,
            answer: Answer::Full,
            depth: MAX_DEPTH,
        }
    }

    fn leaf(&mut self, name: &'static str) -> Result<Sample, Halt> {
        self.trace.step()?;
        self.trace.leaf(self.at, name)?;
        Ok(self.trace.sample)
    }

    /// Starts something that has parts.
    fn enter(&mut self) -> Result<(), Halt> {
        self.trace.step()?;
        // `Later`: what is too deep in this pass may have a shorter way out in another.
        self.depth = self.depth.checked_sub(1).ok_or(Halt::Later)?;
        Ok(())
    }

    fn parts(self, places: Range<Id>) -> Parts<'t> {
        Parts {
            trace: self.trace,
            places,
            answer: self.answer,
            depth: self.depth,
        }
    }

    /// Runs `inside` with the entry of a type open, which is given the index and the parts of it.
    /// A type that is open already is inside itself.
    fn named<R>(
        mut self,
        key: Key,
        inside: impl FnOnce(Tracer<'_>, usize, Range<Id>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        self.enter()?;
        let (entry, parts) = self.trace.named(self.at, key)?;
        let answer = if self.trace.open.contains(&entry) {
            Answer::Least
        } else {
            self.answer
        };
        let outer = self.trace.open.len();
        self.trace.open.push(entry);
        let tracer = Tracer {
            trace: &mut *self.trace,
            at: self.at,
            answer,
            depth: self.depth,
        };
        let result = inside(tracer, entry, parts);
        self.trace.open.truncate(outer);
        result
    }
}

fn key<V>(kind: Kind, name: &'static str, names: &'static [&'static str], len: usize) -> Key {
    Key {
        kind,
        rust_type: type_name::<V>(),
        name,
        names,
        len,
    }
}

macro_rules! leaf {
    ($($method:ident, $visit:ident, $name:literal, $zero:expr, $one:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
            match self.leaf($name)? {
                Sample::Zero => visitor.$visit($zero),
                Sample::One => visitor.$visit($one),
            }
        }
    )*};
}

/// What a format without names cannot answer, the codec included.
macro_rules! refuse {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Halt> {
            Err(Halt::Refused)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Halt;

    leaf! {
        deserialize_bool, visit_bool, "bool", false, true;
        deserialize_i8, visit_i8, "i8", 0, 1;
        deserialize_i16, visit_i16, "i16", 0, 1;
        deserialize_i32, visit_i32, "i32", 0, 1;
        deserialize_i64, visit_i64, "i64", 0, 1;
        deserialize_i128, visit_i128, "i128", 0, 1;
        deserialize_u8, visit_u8, "u8", 0, 1;
        deserialize_u16, visit_u16, "u16", 0, 1;
        deserialize_u32, visit_u32, "u32", 0, 1;
        deserialize_u64, visit_u64, "u64", 0, 1;
        deserialize_u128, visit_u128, "u128", 0, 1;
        deserialize_f32, visit_f32, "f32", 0.0, 1.0;
        deserialize_f64, visit_f64, "f64", 0.0, 1.0;
        deserialize_char, visit_char, "char", 'a', 'a';
        deserialize_str, visit_borrowed_str, "str", "", "1";
        deserialize_string, visit_borrowed_str, "str", "", "1";
        deserialize_bytes, visit_borrowed_bytes, "bytes", b"", b"1";
        deserialize_byte_buf, visit_borrowed_bytes, "bytes", b"", b"1";
    }

    refuse!(deserialize_any deserialize_identifier deserialize_ignored_any);

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.leaf("()")?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.enter()?;
        let inner = self.trace.option(self.at)?;
        match self.answer {
            Answer::Full => visitor.visit_some(Tracer { at: inner, ..self }),
            Answer::Least => visitor.visit_none(),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.enter()?;
        let entry = self.trace.list(self.at)?;
        let end = match self.answer {
            Answer::Full => entry + 1,
            Answer::Least => entry,
        };
        visitor.visit_seq(self.parts(entry..end))
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Halt> {
        self.enter()?;
        let (key, value) = self.trace.map(self.at)?;
        let end = match self.answer {
            Answer::Full => value + 1,
            Answer::Least => key,
        };
        visitor.visit_map(self.parts(key..end))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        mut self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.enter()?;
        let places = self.trace.tuple(self.at, len)?;
        visitor.visit_seq(self.parts(places))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.named(
            key::<V::Value>(Kind::Newtype, name, &[], 1),
            |tracer, _, places| {
                visitor.visit_newtype_struct(Tracer {
                    at: places.start,
                    ..tracer
                })
            },
        )
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.named(
            key::<V::Value>(Kind::Tuple, name, &[], len),
            |tracer, _, places| visitor.visit_seq(tracer.parts(places)),
        )
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        let key = key::<V::Value>(Kind::Struct, name, fields, fields.len());
        self.named(key, |tracer, _, places| {
            visitor.visit_seq(tracer.parts(places))
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        let key = key::<V::Value>(Kind::Enum, name, variants, variants.len());
        self.named(key, |tracer, entry, _| {
            let Tracer {
                trace,
                answer,
                depth,
                ..
            } = tracer;
            let variant = trace.choose(entry, answer == Answer::Full)?;
            let value = visitor.visit_enum(Variant {
                trace,
                entry,
                variant,
                answer,
                depth,
            })?;
            trace.made(entry, variant)?;
            Ok(value)
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Parts that follow each other, of a tuple, a struct, a list or a map.
struct Parts<'t> {
    trace: &'t mut Trace,
    places: Range<Id>,
    answer: Answer,
    depth: u8,
}

impl Parts<'_> {
    fn next(&mut self) -> Option<Tracer<'_>> {
        let at = self.places.next()?;
        Some(Tracer {
            trace: self.trace,
            at,
            answer: self.answer,
            depth: self.depth,
        })
    }
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Halt;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Halt> {
        self.next()
            .map(|tracer| seed.deserialize(tracer))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.places.len())
    }
}

impl<'de> MapAccess<'de> for Parts<'_> {
    type Error = Halt;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Halt> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Halt> {
        self.next_element_seed(seed)?.ok_or(Halt::Refused)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.places.len().div_ceil(2))
    }
}

/// The variant an enum answers with.
struct Variant<'t> {
    trace: &'t mut Trace,
    entry: usize,
    variant: usize,
    answer: Answer,
    depth: u8,
}

impl<'t> Variant<'t> {
    fn ask(self, asked: Asked) -> Result<Parts<'t>, Halt> {
        let places = self.trace.content(self.entry, self.variant, asked)?;
        Ok(Parts {
            trace: self.trace,
            places,
            answer: self.answer,
            depth: self.depth,
        })
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Halt;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Halt> {
        let number = u32::try_from(self.variant).map_err(|_| Halt::Refused)?;
        let value = seed.deserialize(IntoDeserializer::<Halt>::into_deserializer(number))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Halt;

    fn unit_variant(self) -> Result<(), Halt> {
        self.ask(Asked::Unit).map(drop)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Halt> {
        self.ask(Asked::Newtype)?.next_value_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Halt> {
        visitor.visit_seq(self.ask(Asked::Tuple(len))?)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        visitor.visit_seq(self.ask(Asked::Struct(fields))?)
    }
}

/// As deep as the codec goes: a deeper value could not be decoded anyway.
const MAX_DEPTH: u8 = 64;
