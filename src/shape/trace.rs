//! What was found out about a type so far, and the passes that find out the rest.
//!
//! One pass deserializes one value, and so sees one variant of each enum. Passes repeat until no
//! variant is left. Structs and enums are entries of a table, found again by the Rust type that is
//! being made: passes are then counted by type and not by place, and a type inside itself is seen.

use std::ops::Range;

use serde::de::DeserializeOwned;

use super::tracer::Tracer;

/// A place where a value is, an index into the forms.
pub(super) type Id = usize;

/// The form of the value at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not asked yet.
    Unknown,
    Leaf(&'static str),
    Option(Id),
    List(Id),
    Map(Id, Id),
    Tuple(Range<Id>),
    /// An index into the entries.
    Named(usize),
}

/// A type with a name of its own: the only kind that can be inside itself.
pub(super) enum Entry {
    Newtype(Id),
    Tuple(Range<Id>),
    /// The first of the fields, whose places follow each other.
    Struct(&'static [&'static str], Id),
    Enum(Choice),
}

/// The variants of an enum.
pub(super) struct Choice {
    names: &'static [&'static str],
    contents: Vec<Option<Content>>,
    /// Variants whose content is known down to the last leaf.
    complete: Vec<bool>,
    /// The first variant that made a value, a way out for a type inside itself.
    exit: Option<usize>,
    last: usize,
}

impl Choice {
    /// The variants in order, as far as they are known.
    pub(super) fn variants(&self) -> impl Iterator<Item = (&'static str, &Content)> {
        self.names
            .iter()
            .copied()
            .zip(self.contents.iter().flatten())
    }
}

/// What a variant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Unit,
    Newtype(Id),
    Tuple(Range<Id>),
    Struct(&'static [&'static str], Id),
}

impl Content {
    fn places(&self) -> Range<Id> {
        match self {
            Self::Unit => 0..0,
            Self::Newtype(inner) => *inner..*inner + 1,
            Self::Tuple(parts) => parts.clone(),
            Self::Struct(names, first) => *first..*first + names.len(),
        }
    }
}

/// Says which type an entry is about. Compared, never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// The Rust type that is being made, with its parameters.
    pub(super) rust_type: &'static str,
    pub(super) name: &'static str,
    pub(super) names: &'static [&'static str],
    pub(super) len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Newtype,
    Tuple,
    Struct,
    Enum,
}

/// The value that leaves are given. Some types refuse zero and take one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    Zero,
    One,
}

pub(super) struct Trace {
    pub(super) sample: Sample,
    forms: Vec<Form>,
    entries: Vec<(Key, Entry)>,
    /// Entries the present pass is inside of, the outermost first.
    pub(super) open: Vec<usize>,
    steps: usize,
    /// How often something was found out.
    news: usize,
    /// Variants of all enums.
    variants: usize,
}

impl Trace {
    /// The place of the whole value.
    pub(super) const ROOT: Id = 0;

    /// Finds out everything about `T`, or nothing.
    pub(super) fn run<T: DeserializeOwned>(sample: Sample) -> Option<Self> {
        let mut trace = Self {
            sample,
            forms: vec![Form::Unknown],
            entries: Vec::new(),
            open: Vec::new(),
            steps: 0,
            news: 0,
            variants: 0,
        };
        let mut quiet = 0;
        for _ in 0..MAX_PASSES {
            trace.open.clear();
            let before = trace.news;
            match T::deserialize(Tracer::new(&mut trace)) {
                Ok(_) | Err(Halt::Later) => {}
                Err(Halt::Refused) => return None,
            }
            // Asked again, since the type's own code may have swallowed the error.
            if trace.steps > MAX_STEPS {
                return None;
            }
            if trace.is_complete(Self::ROOT) {
                return Some(trace);
            }
            // Enums take turns, so something new may be some passes away, but not for ever.
            quiet = if trace.news == before { quiet + 1 } else { 0 };
            if quiet > 2 * trace.variants {
                return None;
            }
        }
        None
    }

    pub(super) fn form(&self, id: Id) -> &Form {
        &self.forms[id]
    }

    pub(super) fn entry(&self, index: usize) -> &Entry {
        &self.entries[index].1
    }

    /// Counts one question.
    pub(super) fn step(&mut self) -> Result<(), Halt> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            Err(Halt::Refused)
        } else {
            Ok(())
        }
    }

    /// Writes down the form of a place. A place has one form, whatever the values before it were.
    pub(super) fn leaf(&mut self, at: Id, name: &'static str) -> Result<(), Halt> {
        self.settle(at, Form::Leaf(name))
    }

    pub(super) fn option(&mut self, at: Id) -> Result<Id, Halt> {
        if let Form::Option(inner) = self.forms[at] {
            return Ok(inner);
        }
        let inner = self.places(1)?.start;
        self.settle(at, Form::Option(inner))?;
        Ok(inner)
    }

    pub(super) fn list(&mut self, at: Id) -> Result<Id, Halt> {
        if let Form::List(entry) = self.forms[at] {
            return Ok(entry);
        }
        let entry = self.places(1)?.start;
        self.settle(at, Form::List(entry))?;
        Ok(entry)
    }

    pub(super) fn map(&mut self, at: Id) -> Result<(Id, Id), Halt> {
        if let Form::Map(key, value) = self.forms[at] {
            return Ok((key, value));
        }
        let key = self.places(2)?.start;
        self.settle(at, Form::Map(key, key + 1))?;
        Ok((key, key + 1))
    }

    pub(super) fn tuple(&mut self, at: Id, len: usize) -> Result<Range<Id>, Halt> {
        match &self.forms[at] {
            Form::Tuple(parts) if parts.len() == len => Ok(parts.clone()),
            _ => {
                let parts = self.places(len)?;
                self.settle(at, Form::Tuple(parts.clone()))?;
                Ok(parts)
            }
        }
    }

    /// Finds or makes the entry of a type, and its parts: none of an enum, whose variants have them.
    pub(super) fn named(&mut self, at: Id, key: Key) -> Result<(usize, Range<Id>), Halt> {
        let known = self.entries.iter().position(|(other, _)| *other == key);
        let index = match known {
            Some(index) => index,
            None => {
                let entry = match key.kind {
                    Kind::Newtype => Entry::Newtype(self.places(1)?.start),
                    Kind::Tuple => Entry::Tuple(self.places(key.len)?),
                    Kind::Struct => Entry::Struct(key.names, self.places(key.len)?.start),
                    Kind::Enum => Entry::Enum(Choice {
                        names: key.names,
                        contents: vec![None; key.len],
                        complete: vec![false; key.len],
                        exit: None,
                        last: key.len.saturating_sub(1),
                    }),
                };
                if let Entry::Enum(choice) = &entry {
                    self.variants += choice.names.len();
                }
                self.entries.push((key, entry));
                self.entries.len() - 1
            }
        };
        self.settle(at, Form::Named(index))?;
        let parts = match &self.entries[index].1 {
            Entry::Newtype(inner) => *inner..*inner + 1,
            Entry::Tuple(parts) => parts.clone(),
            Entry::Struct(names, first) => *first..*first + names.len(),
            Entry::Enum(_) => 0..0,
        };
        Ok((index, parts))
    }

    /// Chooses the variant with which an enum answers.
    ///
    /// With `explore`, the next one of which something is unknown. Else, and when there is none,
    /// the one that is known to lead to a value.
    pub(super) fn choose(&mut self, entry: usize, explore: bool) -> Result<usize, Halt> {
        let choice = self.choice(entry)?;
        let (len, last, exit) = (choice.names.len(), choice.last, choice.exit);
        if let (false, Some(exit)) = (explore, exit) {
            return Ok(exit);
        }
        for index in (1..=len).map(|step| (last + step) % len) {
            if !self.is_variant_complete(entry, index)? {
                self.choice(entry)?.last = index;
                return Ok(index);
            }
        }
        exit.ok_or(Halt::Refused)
    }

    /// Writes down what a variant holds, and returns the places of it.
    pub(super) fn content(
        &mut self,
        entry: usize,
        variant: usize,
        asked: Asked,
    ) -> Result<Range<Id>, Halt> {
        let known = self.choice(entry)?.contents[variant].clone();
        let places = match &known {
            Some(content) => content.places(),
            None => self.places(asked.len())?,
        };
        let content = asked.content(places.start);
        match known {
            Some(known) if known == content => {}
            Some(_) => return Err(Halt::Refused),
            None => {
                self.choice(entry)?.contents[variant] = Some(content);
                self.news += 1;
            }
        }
        Ok(places)
    }

    /// Notes that a variant made a value.
    pub(super) fn made(&mut self, entry: usize, variant: usize) -> Result<(), Halt> {
        let choice = self.choice(entry)?;
        if choice.exit.is_none() {
            choice.exit = Some(variant);
            self.news += 1;
        }
        Ok(())
    }

    fn choice(&mut self, entry: usize) -> Result<&mut Choice, Halt> {
        match &mut self.entries[entry].1 {
            Entry::Enum(choice) => Ok(choice),
            _ => Err(Halt::Refused),
        }
    }

    fn settle(&mut self, at: Id, form: Form) -> Result<(), Halt> {
        match &self.forms[at] {
            Form::Unknown => {
                self.forms[at] = form;
                self.news += 1;
            }
            known if *known == form => {}
            _ => return Err(Halt::Refused),
        }
        Ok(())
    }

    fn places(&mut self, len: usize) -> Result<Range<Id>, Halt> {
        let start = self.forms.len();
        // Before anything is allocated: a type may ask for any number.
        if len > MAX_PLACES - start.min(MAX_PLACES) {
            return Err(Halt::Refused);
        }
        self.forms.resize(start + len, Form::Unknown);
        Ok(start..start + len)
    }

    fn is_variant_complete(&mut self, entry: usize, variant: usize) -> Result<bool, Halt> {
        let choice = self.choice(entry)?;
        if choice.complete[variant] {
            return Ok(true);
        }
        let places = match &choice.contents[variant] {
            Some(content) => content.places(),
            None => return Ok(false),
        };
        let complete = places.into_iter().all(|place| self.is_complete(place));
        // Kept, since what is complete stays so and the search is long in a large type.
        self.choice(entry)?.complete[variant] = complete;
        Ok(complete)
    }

    /// Whether nothing below a place is unknown.
    fn is_complete(&self, id: Id) -> bool {
        let mut seen = vec![false; self.entries.len()];
        let mut rest = vec![id];
        while let Some(id) = rest.pop() {
            match &self.forms[id] {
                Form::Unknown => return false,
                Form::Leaf(_) => {}
                Form::Option(inner) | Form::List(inner) => rest.push(*inner),
                Form::Map(key, value) => rest.extend([*key, *value]),
                Form::Tuple(parts) => rest.extend(parts.clone()),
                Form::Named(index) if seen[*index] => {}
                Form::Named(index) => {
                    seen[*index] = true;
                    match &self.entries[*index].1 {
                        Entry::Newtype(inner) => rest.push(*inner),
                        Entry::Tuple(parts) => rest.extend(parts.clone()),
                        Entry::Struct(names, first) => rest.extend(*first..*first + names.len()),
                        Entry::Enum(choice) => {
                            for (index, content) in choice.contents.iter().enumerate() {
                                match content {
                                    None => return false,
                                    Some(_) if choice.complete[index] => {}
                                    Some(content) => rest.extend(content.places()),
                                }
                            }
                        }
                    }
                }
            }
        }
        true
    }
}

/// How the content of a variant was asked for.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    Unit,
    Newtype,
    Tuple(usize),
    Struct(&'static [&'static str]),
}

impl Asked {
    fn len(self) -> usize {
        match self {
            Self::Unit => 0,
            Self::Newtype => 1,
            Self::Tuple(len) => len,
            Self::Struct(names) => names.len(),
        }
    }

    fn content(self, first: Id) -> Content {
        match self {
            Self::Unit => Content::Unit,
            Self::Newtype => Content::Newtype(first),
            Self::Tuple(len) => Content::Tuple(first..first.saturating_add(len)),
            Self::Struct(names) => Content::Struct(names, first),
        }
    }
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    /// The type needs a value of itself, and no way to make one is known yet.
    #[error("no value is known yet")]
    Later,
    /// The type does not take what it is given, or is beyond the bounds.
    #[error("the type cannot be traced")]
    Refused,
}

impl serde::de::Error for Halt {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Refused
    }
}

/// More passes than enums have variants, also when many of them hold other enums.
const MAX_PASSES: usize = 4096;

/// Questions over all passes: some tens of milliseconds at worst.
const MAX_STEPS: usize = 1 << 18;

/// Places of one type, an upper bound on memory.
const MAX_PLACES: usize = 1 << 16;
