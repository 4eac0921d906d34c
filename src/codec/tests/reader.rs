//! A reader of the format made from its description alone: no serde, no bincode, none of our code.
//!
//! What it reads from encoded values proves that the format is the one that is written down, and
//! that another library, or another language, can take over.

use super::*;

/// What a type looks like.
enum Type {
    Bool,
    Byte,
    I8,
    /// Of this many bits.
    Unsigned(u32),
    Signed(u32),
    F32,
    F64,
    Char,
    Text,
    Blob,
    Maybe(Box<Self>),
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
    Fields(Vec<Self>),
    Enum(Vec<Self>),
    /// The [`Action`] above, which holds itself.
    Action,
}

/// A value without its type.
#[derive(Debug, PartialEq)]
enum Plain {
    Uint(u128),
    Int(i128),
    Float(u64),
    Blob(Vec<u8>),
    Maybe(Option<Box<Self>>),
    Many(Vec<Self>),
    Variant(u32, Box<Self>),
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Vec<u8> {
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        head.to_vec()
    }

    fn little_endian(&mut self, len: usize) -> u128 {
        self.take(len)
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u128::from(*byte))
    }

    fn varint(&mut self, bits: u32) -> u128 {
        let value = match self.take(1)[0] {
            251 => self.little_endian(2),
            252 => self.little_endian(4),
            253 => self.little_endian(8),
            254 => self.little_endian(16),
            255 => panic!("no integer starts with 255"),
            small => return small.into(),
        };
        assert!(
            bits == 128 || value < 1 << bits,
            "{value} is wider than {bits} bits"
        );
        value
    }

    fn len(&mut self) -> usize {
        self.varint(64).try_into().unwrap()
    }

    fn utf8_char(&mut self) -> Vec<u8> {
        let len = match self.0[0].leading_ones() {
            0 => 1,
            ones => ones as usize,
        };
        self.take(len)
    }

    fn read(&mut self, ty: &Type) -> Plain {
        match ty {
            Type::Bool => {
                let byte = self.little_endian(1);
                assert!(byte < 2);
                Plain::Uint(byte)
            }
            Type::Byte => Plain::Uint(self.little_endian(1)),
            Type::I8 => Plain::Int((self.take(1)[0] as i8).into()),
            Type::Unsigned(bits) => Plain::Uint(self.varint(*bits)),
            Type::Signed(bits) => {
                let zigzag = self.varint(*bits);
                let half = (zigzag >> 1) as i128;
                Plain::Int(if zigzag & 1 == 0 { half } else { -half - 1 })
            }
            Type::F32 => Plain::Float(self.little_endian(4) as u64),
            Type::F64 => Plain::Float(self.little_endian(8) as u64),
            Type::Char => Plain::Blob(self.utf8_char()),
            Type::Text | Type::Blob => {
                let len = self.len();
                Plain::Blob(self.take(len))
            }
            Type::Maybe(inner) => match self.take(1)[0] {
                0 => Plain::Maybe(None),
                1 => Plain::Maybe(Some(Box::new(self.read(inner)))),
                other => panic!("{other} is no option"),
            },
            Type::List(entry) => {
                let len = self.len();
                Plain::Many((0..len).map(|_| self.read(entry)).collect())
            }
            Type::Map(key, value) => {
                let len = self.len();
                let entries = (0..len).flat_map(|_| [self.read(key), self.read(value)]);
                Plain::Many(entries.collect())
            }
            Type::Fields(fields) => Plain::Many(fields.iter().map(|ty| self.read(ty)).collect()),
            Type::Enum(variants) => {
                let index = self.varint(32) as u32;
                Plain::Variant(index, Box::new(self.read(&variants[index as usize])))
            }
            Type::Action => self.read(&action_type()),
        }
    }
}

fn action_type() -> Type {
    let maybe_f32 = Type::Maybe(Box::new(Type::F32));
    Type::Enum(vec![
        Type::Fields(vec![]),
        Type::Text,
        Type::Fields(vec![Type::F32, maybe_f32]),
        Type::Fields(vec![Type::Byte, Type::Action]),
    ])
}

fn everything_type() -> Type {
    let list = |ty| Type::List(Box::new(ty));
    let maybe = |ty| Type::Maybe(Box::new(ty));
    let pair = |bits| Type::Fields(vec![Type::Unsigned(bits), Type::Signed(bits)]);
    Type::Fields(vec![
        Type::Bool,
        Type::Fields(vec![Type::Byte, Type::I8]),
        pair(16),
        pair(32),
        pair(64),
        pair(128),
        Type::F32,
        Type::F64,
        Type::Char,
        Type::Text,
        Type::Blob,
        Type::Fields(vec![]),
        maybe(maybe(Type::Unsigned(16))),
        list(list(Type::Signed(32))),
        Type::Map(Box::new(Type::Text), Box::new(list(Type::Action))),
        Type::Fields(vec![
            Type::Unsigned(16),
            Type::Unsigned(16),
            Type::Unsigned(16),
        ]),
        Type::Action,
    ])
}

fn many(values: impl IntoIterator<Item = Plain>) -> Plain {
    Plain::Many(values.into_iter().collect())
}

fn uint(value: impl Into<u128>) -> Plain {
    Plain::Uint(value.into())
}

fn int(value: impl Into<i128>) -> Plain {
    Plain::Int(value.into())
}

fn text(value: &str) -> Plain {
    Plain::Blob(value.as_bytes().to_vec())
}

fn float(value: f32) -> Plain {
    Plain::Float(value.to_bits().into())
}

fn maybe(value: Option<Plain>) -> Plain {
    Plain::Maybe(value.map(Box::new))
}

fn plain_action(action: &Action) -> Plain {
    let (index, fields) = match action {
        Action::Jump => (0, many([])),
        Action::Say(line) => (1, text(line)),
        Action::Move { dx, dy } => (2, many([float(*dx), maybe(dy.map(float))])),
        Action::Pair(n, inner) => (3, many([uint(*n), plain_action(inner)])),
    };
    Plain::Variant(index, Box::new(fields))
}

fn plain_everything(value: &Everything) -> Plain {
    let entry = |(key, actions): (&String, &Vec<Action>)| {
        [text(key), many(actions.iter().map(plain_action))]
    };
    many([
        uint(value.flag),
        many([uint(value.small.0), int(value.small.1)]),
        many([uint(value.medium.0), int(value.medium.1)]),
        many([uint(value.wide.0), int(value.wide.1)]),
        many([uint(value.long.0), int(value.long.1)]),
        many([uint(value.huge.0), int(value.huge.1)]),
        float(value.single),
        Plain::Float(value.double.to_bits()),
        text(&value.letter.to_string()),
        text(&value.text),
        Plain::Blob(value.blob.to_vec()),
        many([]),
        maybe(value.maybe.map(|inner| maybe(inner.map(uint)))),
        many(
            value
                .list
                .iter()
                .map(|list| many(list.iter().copied().map(int))),
        ),
        many(value.map.iter().flat_map(entry)),
        many(value.array.map(uint)),
        plain_action(&value.action),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_independent_reader_reads_the_same(value in everything()) {
        let bytes = bytes_of(&value);
        let mut reader = Reader(&bytes);
        prop_assert_eq!(reader.read(&everything_type()), plain_everything(&value));
        prop_assert!(reader.0.is_empty());
    }
}
