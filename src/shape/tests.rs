use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::{NonZeroI8, NonZeroU32};
use std::time::Duration;

use bytes::Bytes;
use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};

use super::*;

/// Declares types that are only traced.
macro_rules! types {
    ($($item:item)*) => {$(
        #[derive(Deserialize)]
        #[allow(dead_code, reason = "only traced")]
        $item
    )*};
}

types! {
    struct Vector { x: f32, y: f32, z: f32 }
    struct Swapped { y: f32, x: f32, z: f32 }
    struct Meters(f32);
    struct Line(Vector, u8);
    struct Pair<T> { a: T, b: T }
    enum Action { Jump, Say(String), Move { dx: f32 }, Throw(u8, Meters) }
    enum Outer { First(Action), Second(Option<Key>), Third { key: Key, on: bool } }
    enum Key { Up, Down, Char(char) }
    enum Value { Nil, Number(f64), List(Vec<Self>), Map(HashMap<String, Self>) }
    enum Expr { Add(Box<Self>, Box<Self>), Neg(Box<Self>), Number(f64), Call { name: String, args: Vec<Self> } }
    struct Node { value: u8, next: Option<Box<Self>> }
    struct Tree { children: Vec<Self> }
    struct Left { right: Option<Box<Right>>, n: u8 }
    struct Right { left: Vec<Left>, key: Key }
}

#[derive(Deserialize)]
struct Unit;

#[derive(Deserialize)]
struct Empty {}

fn shape<T: DeserializeOwned>() -> String {
    of::<T>().expect("the type has a shape").to_string()
}

#[test]
fn plain_values() {
    assert_eq!(shape::<bool>(), "bool");
    assert_eq!(
        shape::<(u8, u16, u32, u64, u128)>(),
        "(u8, u16, u32, u64, u128)"
    );
    assert_eq!(
        shape::<(i8, i16, i32, i64, i128)>(),
        "(i8, i16, i32, i64, i128)"
    );
    assert_eq!(shape::<(usize, isize)>(), "(u64, i64)");
    assert_eq!(shape::<(f32, f64)>(), "(f32, f64)");
    assert_eq!(shape::<char>(), "char");
    assert_eq!(shape::<String>(), "str");
    assert_eq!(shape::<Box<str>>(), "str");
    assert_eq!(shape::<Bytes>(), "bytes");
    assert_eq!(shape::<()>(), "()");
    assert_eq!(shape::<Unit>(), "()");
}

#[test]
fn tuples_and_arrays() {
    assert_eq!(shape::<(u8, f32)>(), "(u8, f32)");
    assert_eq!(shape::<(f32, f32)>(), "(f32, f32)");
    assert_eq!(shape::<(u8,)>(), "(u8)");
    assert_eq!(shape::<[f32; 3]>(), "[f32; 3]");
    assert_eq!(
        shape::<(f32, f32, f32)>(),
        "[f32; 3]",
        "an array is a tuple on the wire"
    );
    assert_eq!(shape::<[[u8; 4]; 32]>(), "[[u8; 4]; 32]");
    assert_eq!(shape::<[u8; 0]>(), "()");
    assert_eq!(
        shape::<((), (u8, (bool, char)))>(),
        "((), (u8, (bool, char)))"
    );
}

#[test]
fn structs() {
    assert_eq!(shape::<Vector>(), "{x: f32, y: f32, z: f32}");
    assert_eq!(shape::<Swapped>(), "{y: f32, x: f32, z: f32}");
    assert_eq!(shape::<Meters>(), "f32");
    assert_eq!(shape::<Line>(), "({x: f32, y: f32, z: f32}, u8)");
    assert_eq!(shape::<Empty>(), "{}");
    assert_eq!(shape::<Duration>(), "{secs: u64, nanos: u32}");
}

#[test]
fn containers() {
    assert_eq!(shape::<Option<f32>>(), "f32?");
    assert_eq!(shape::<Option<Option<f32>>>(), "f32??");
    assert_eq!(shape::<Vec<Vec<u8>>>(), "[[u8]]");
    assert_eq!(shape::<HashSet<String>>(), "[str]");
    assert_eq!(shape::<BTreeSet<u8>>(), "[u8]");
    assert_eq!(shape::<HashMap<String, Option<u8>>>(), "{str => u8?}");
    assert_eq!(
        shape::<BTreeMap<(u8, u8), Vector>>(),
        "{(u8, u8) => {x: f32, y: f32, z: f32}}"
    );
    assert_eq!(shape::<Box<Vec<Meters>>>(), "[f32]");
}

const ACTION: &str = "Jump | Say(str) | Move{dx: f32} | Throw(u8, f32)";
const KEY: &str = "Up | Down | Char(char)";

#[test]
fn enums() {
    assert_eq!(shape::<Action>(), ACTION);
    assert_eq!(shape::<Result<u8, String>>(), "Ok(u8) | Err(str)");
    assert_eq!(shape::<Vec<Action>>(), format!("[{ACTION}]"));
    assert_eq!(shape::<Option<Action>>(), format!("({ACTION})?"));
    assert_eq!(
        shape::<(Key, Action, Key)>(),
        format!("({KEY}, {ACTION}, {KEY})")
    );
    assert_eq!(
        shape::<HashMap<Key2, Option<Key2>>>(),
        "{A | B => (A | B)?}"
    );
    let outer = format!("First({ACTION}) | Second(({KEY})?) | Third{{key: {KEY}, on: bool}}");
    assert_eq!(shape::<Outer>(), outer);
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
enum Key2 {
    A,
    B,
}

#[test]
fn parameters_of_a_type_are_told_apart() {
    assert_eq!(
        shape::<Pair<Pair<u8>>>(),
        "{a: {a: u8, b: u8}, b: {a: u8, b: u8}}"
    );
    assert_eq!(
        shape::<(Pair<u8>, Pair<bool>)>(),
        "({a: u8, b: u8}, {a: bool, b: bool})"
    );
}

#[test]
fn types_inside_themselves() {
    assert_eq!(
        shape::<Value>(),
        "Nil | Number(f64) | List([...]) | Map({str => ...})"
    );
    assert_eq!(
        shape::<Expr>(),
        "Add(..., ...) | Neg(...) | Number(f64) | Call{name: str, args: [...]}"
    );
    assert_eq!(shape::<Node>(), "{value: u8, next: ...?}");
    assert_eq!(shape::<Tree>(), "{children: [...]}");
    assert_eq!(
        shape::<Left>(),
        format!("{{right: {{left: [...], key: {KEY}}}?, n: u8}}")
    );
    let pair = "{value: u8, next: ...?}";
    assert_eq!(shape::<(Node, Node)>(), format!("({pair}, {pair})"));
}

#[test]
fn types_that_refuse_zero() {
    #[derive(Deserialize)]
    #[serde(try_from = "u8")]
    struct Percent;
    impl TryFrom<u8> for Percent {
        type Error = &'static str;
        fn try_from(value: u8) -> Result<Self, Self::Error> {
            (1..=100)
                .contains(&value)
                .then_some(Self)
                .ok_or("not a percentage")
        }
    }
    assert_eq!(shape::<NonZeroU32>(), "u32");
    assert_eq!(shape::<(Option<NonZeroI8>, Key)>(), format!("(i8?, {KEY})"));
    assert_eq!(shape::<Percent>(), "u8");
}

#[test]
fn types_without_a_shape() {
    types! {
        #[serde(untagged)]
        enum Untagged { Number(u8) }
        struct Flat {
            a: u8,
            #[serde(flatten)]
            rest: HashMap<String, u8>,
        }
        enum Never {}
    }
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match &*String::deserialize(deserializer)? {
                "open sesame" => Ok(Self),
                _ => Err(serde::de::Error::custom("no")),
            }
        }
    }
    /// Asks for more parts than there is memory for.
    struct Greedy;
    impl<'de> Deserialize<'de> for Greedy {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Ask;
            impl<'de> Visitor<'de> for Ask {
                type Value = Greedy;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("nothing")
                }
            }
            deserializer.deserialize_tuple(usize::MAX, Ask)
        }
    }
    assert!(of::<Untagged>().is_none());
    assert!(of::<Flat>().is_none());
    assert!(of::<Never>().is_none());
    assert!(of::<Picky>().is_none());
    assert!(of::<(Vector, Picky)>().is_none());
    assert!(of::<Greedy>().is_none());
    assert!(of::<IgnoredAny>().is_none());
}

#[test]
fn large_enums_in_each_other() {
    macro_rules! many {
        ($name:ident($content:ty): $($variant:ident)*) => {
            types! { enum $name { $($variant($content),)* } }
        };
    }
    many!(Inner(()): A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
    types! {
        enum Middle { A(Inner), B(Option<Inner>), C(Vec<Other>), D(Other, Inner) }
        enum Other { A, B(Inner2), C(Inner2) }
    }
    many!(Inner2(u8): A B C D E F G H I J K L M N O P Q R S T U V W X Y Z);
    assert!(shape::<Middle>().starts_with("A(A(()) | B(()) | C(())"));
}

#[test]
fn a_visitor_that_ignores_its_parts_ends() {
    /// Takes a list, and does not look at it.
    struct Blind;
    impl<'de> Deserialize<'de> for Blind {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Ignore;
            impl<'de> Visitor<'de> for Ignore {
                type Value = Blind;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Blind, A::Error> {
                    Ok(Blind)
                }
            }
            deserializer.deserialize_seq(Ignore)
        }
    }
    assert!(of::<(Key, Blind, Action)>().is_none());
}

#[test]
fn endless_types_end() {
    types! {
        struct Inside(Box<Self>);
        struct Twice { a: Box<Self>, b: Box<Self> }
        enum Only { A(Box<Self>), B(Box<Self>, Box<Self>) }
    }
    /// Twice inside itself, and no derive to see it by.
    struct Bare;
    impl<'de> Deserialize<'de> for Bare {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <(Vec<Self>, Option<Box<Self>>)>::deserialize(deserializer).map(|_| Self)
        }
    }
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let run = thread.spawn(|| {
        let _ = (
            of::<Inside>(),
            of::<Twice>(),
            of::<Only>(),
            of::<Option<Inside>>(),
        );
        assert!(of::<Bare>().is_none());
    });
    run.unwrap().join().unwrap();
}

#[test]
fn long_shapes_end_in_a_hash() {
    type Long<T> = (
        [Vector; 2],
        ([Line; 2], [Outer; 2], Pair<Outer>, Pair<Outer>, T),
    );
    let one = shape::<Long<u8>>();
    let two = shape::<Long<u16>>();
    assert!(one.len() <= MAX_TEXT_LEN);
    assert_eq!(one[..KEPT_LEN], two[..KEPT_LEN]);
    assert_ne!(one, two);
    assert_eq!(one, shape::<Long<u8>>());
    // Pinned: both sides of a connection may be different builds.
    assert_eq!(&one[KEPT_LEN..], "..#4f1d50dc634eed27");
}

#[test]
fn shortening_keeps_characters_whole() {
    let short = "x".repeat(MAX_TEXT_LEN);
    assert_eq!(shorten(short.clone()), short);
    let long = shorten("é".repeat(400) + "x");
    assert_eq!(long.len(), KEPT_LEN + 3 + 16);
    let odd = shorten("x".to_owned() + &"é".repeat(400));
    assert_eq!(odd.len(), KEPT_LEN - 1 + 3 + 16);
}

#[test]
fn the_hash_is_the_published_one() {
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}
