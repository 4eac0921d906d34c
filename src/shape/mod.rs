//! The shape of a type: a short text that is equal on both sides when the types have one wire form.
//!
//! Knows nothing about bytes, remotes or connections. It runs the type's own `Deserialize` against
//! a recorder and writes down what was asked for, so it sees what the codec will see.
//!
//! | type | shape |
//! |---|---|
//! | numbers, `bool`, `char` | `u8`, `f32`, .. (`usize` is `u64`) |
//! | text, byte buffers | `str`, `bytes` |
//! | `()`, unit struct | `()` |
//! | newtype struct, `Box`, `Arc` | that of its content |
//! | `Option<T>` | `T?` |
//! | list, set | `[T]` |
//! | map | `{K => V}` |
//! | tuple, tuple struct | `(A, B)`; three or more of one shape, and arrays, are `[T; 3]` |
//! | struct | `{x: f32, y: f32}` |
//! | enum | `Jump \| Say(str) \| Move{dx: f32}` |
//! | a type inside itself | `...` |
//!
//! Names of types are not part of it, since they may change freely. Names of fields and variants
//! are, although they are not sent: that is what tells `{x, y}` from `{y, x}`.
//!
//! # Types without a shape
//!
//! A type that accepts none of the recorder's values (it checks what it is given, or reads its own
//! description from the data), that asks differently for different values, or that is beyond the
//! bounds in [`trace`], has no shape and goes unchecked.

use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use self::trace::{Content, Entry, Form, Id, Sample, Trace};

mod trace;
mod tracer;

#[cfg(test)]
mod tests;

/// Returns the shape of `T`, or nothing when it cannot be found out.
///
/// The same on every machine and in every build. At most [`MAX_TEXT_LEN`] bytes; what is longer
/// ends in a hash of the whole, so that different shapes stay different.
///
/// Runs the type's `Deserialize` many times. Meant for once per remote, not for once per event.
pub(crate) fn of<T: DeserializeOwned>() -> Option<Arc<str>> {
    [Sample::Zero, Sample::One].into_iter().find_map(|sample| {
        let trace = Trace::run::<T>(sample)?;
        let mut text = Text::default();
        Renderer {
            trace: &trace,
            open: Vec::new(),
        }
        .write(Trace::ROOT, &mut text)
        .ok()?;
        Some(shorten(text.0).into())
    })
}

struct Renderer<'t> {
    trace: &'t Trace,
    /// Types that are being written, for the types inside themselves.
    open: Vec<usize>,
}

impl Renderer<'_> {
    fn write(&mut self, id: Id, out: &mut Text) -> fmt::Result {
        match self.trace.form(id) {
            // No complete trace has one.
            Form::Unknown => Err(fmt::Error),
            Form::Leaf(name) => out.write_str(name),
            Form::Option(inner) => {
                let braces = self.is_choice(*inner);
                out.write_str(if braces { "(" } else { "" })?;
                self.write(*inner, out)?;
                out.write_str(if braces { ")?" } else { "?" })
            }
            Form::List(entry) => {
                out.write_char('[')?;
                self.write(*entry, out)?;
                out.write_char(']')
            }
            Form::Map(key, value) => {
                out.write_char('{')?;
                self.write(*key, out)?;
                out.write_str(" => ")?;
                self.write(*value, out)?;
                out.write_char('}')
            }
            Form::Tuple(parts) => self.write_tuple(parts.clone(), out),
            Form::Named(entry) => {
                if self.open.contains(entry) {
                    return out.write_str("...");
                }
                self.open.push(*entry);
                let result = self.write_entry(*entry, out);
                self.open.pop();
                result
            }
        }
    }

    fn write_entry(&mut self, entry: usize, out: &mut Text) -> fmt::Result {
        match self.trace.entry(entry) {
            Entry::Newtype(inner) => self.write(*inner, out),
            Entry::Tuple(parts) => self.write_tuple(parts.clone(), out),
            Entry::Struct(names, first) => self.write_fields(names, *first, out),
            Entry::Enum(choice) => {
                for (index, (name, content)) in choice.variants().enumerate() {
                    out.write_str(if index == 0 { "" } else { " | " })?;
                    out.write_str(name)?;
                    match content {
                        Content::Unit => {}
                        Content::Newtype(inner) => {
                            out.write_char('(')?;
                            self.write(*inner, out)?;
                            out.write_char(')')?;
                        }
                        Content::Tuple(parts) => self.write_list(parts.clone(), out)?,
                        Content::Struct(names, first) => {
                            self.write_fields(names, *first, out)?;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn write_tuple(&mut self, parts: Range<Id>, out: &mut Text) -> fmt::Result {
        let len = parts.len();
        if len < 3 {
            return self.write_list(parts, out);
        }
        let mut texts = Vec::with_capacity(len);
        for part in parts {
            let mut text = Text::default();
            self.write(part, &mut text)?;
            texts.push(text.0);
        }
        if texts.iter().all(|text| *text == texts[0]) {
            write!(out, "[{}; {len}]", texts[0])
        } else {
            write!(out, "({})", texts.join(", "))
        }
    }

    fn write_list(&mut self, parts: Range<Id>, out: &mut Text) -> fmt::Result {
        let first = parts.start;
        out.write_char('(')?;
        for part in parts {
            out.write_str(if part == first { "" } else { ", " })?;
            self.write(part, out)?;
        }
        out.write_char(')')
    }

    fn write_fields(&mut self, names: &[&str], first: Id, out: &mut Text) -> fmt::Result {
        out.write_char('{')?;
        for (index, name) in names.iter().enumerate() {
            out.write_str(if index == 0 { "" } else { ", " })?;
            write!(out, "{name}: ")?;
            self.write(first + index, out)?;
        }
        out.write_char('}')
    }

    /// Whether a `?` behind this would seem to belong to its last variant.
    fn is_choice(&self, mut id: Id) -> bool {
        let mut seen = Vec::new();
        while let Form::Named(entry) = self.trace.form(id) {
            if self.open.contains(entry) || seen.contains(entry) {
                return false;
            }
            seen.push(*entry);
            match self.trace.entry(*entry) {
                Entry::Newtype(inner) => id = *inner,
                other => return matches!(other, Entry::Enum(_)),
            }
        }
        false
    }
}

/// A text that refuses to grow without end.
#[derive(Default)]
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > MAX_WRITTEN_LEN {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

/// Makes a long text short, so that texts that differ still do.
pub(crate) fn shorten(mut text: String) -> String {
    if text.len() > MAX_TEXT_LEN {
        let hash = fnv1a(text.as_bytes());
        let fits = |index: &usize| text.is_char_boundary(*index);
        let end = (0..=KEPT_LEN).rev().find(fits).expect("0 is a boundary");
        text.truncate(end);
        text.push_str(&format!("..#{hash:016x}"));
    }
    text
}

/// FNV-1a with 64 bits. Both numbers are part of its definition.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The longest shape, in bytes. It is in the hello for each remote, so it must stay short.
pub(crate) const MAX_TEXT_LEN: usize = 512;

/// How much of a longer one is kept, beside 3 bytes and 16 digits.
const KEPT_LEN: usize = 480;

/// Where writing gives up: types that mention each other often enough have a text of any length.
const MAX_WRITTEN_LEN: usize = 1 << 20;
