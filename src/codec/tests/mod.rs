//! Golden bytes, round trips, and the bounds of encoding. Hostile bytes are in [`hostile`], the
//! check against a reader that shares no code with the codec in [`reader`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

mod hostile;
mod reader;

/// Every construct of serde's data model that has a wire form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: (u8, i8),
    medium: (u16, i16),
    wide: (u32, i32),
    long: (u64, i64),
    huge: (u128, i128),
    single: f32,
    double: f64,
    letter: char,
    text: String,
    blob: Bytes,
    nothing: (),
    maybe: Option<Option<u16>>,
    list: Vec<Vec<i32>>,
    map: BTreeMap<String, Vec<Action>>,
    array: [u16; 3],
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Action {
    Jump,
    Say(String),
    Move { dx: f32, dy: Option<f32> },
    Pair(u8, Box<Self>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Nil,
    List(Vec<Self>),
}

fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let size = encode(value, &mut out, MAX_LEN).unwrap();
    assert_eq!(size, out.len());
    assert_eq!(encoded_len(value).unwrap(), size);
    out
}

#[track_caller]
fn golden<T>(value: T, bytes: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(bytes_of(&value), bytes);
    assert_eq!(decode::<T>(bytes), Ok(value));
}

#[test]
fn golden_unsigned_integers() {
    golden(0u8, &[0]);
    golden(255u8, &[255]);
    golden(0u16, &[0]);
    golden(250u16, &[250]);
    golden(251u16, &[251, 251, 0]);
    golden(0x1234u16, &[251, 0x34, 0x12]);
    golden(u16::MAX as u32, &[251, 255, 255]);
    golden(0x1_0000u32, &[252, 0, 0, 1, 0]);
    golden(u32::MAX, &[252, 255, 255, 255, 255]);
    golden(250u64, &[250]);
    golden(1u64 << 32, &[253, 0, 0, 0, 0, 1, 0, 0, 0]);
    golden(u64::MAX, &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
    golden(7usize, &[7]);
    golden(7u128, &[7]);
    golden(
        1u128 << 64,
        &[254, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    );
}

#[test]
fn golden_signed_integers() {
    golden(-1i8, &[0xff]);
    golden(0i16, &[0]);
    golden(-1i16, &[1]);
    golden(1i32, &[2]);
    golden(-2i32, &[3]);
    golden(125i32, &[250]);
    golden(-126i32, &[251, 251, 0]);
    golden(i16::MIN, &[251, 255, 255]);
    golden(i32::MAX, &[252, 254, 255, 255, 255]);
    golden(i64::MIN, &[253, 255, 255, 255, 255, 255, 255, 255, 255]);
    golden(-1i128, &[1]);
}

#[test]
fn golden_plain_values() {
    golden(false, &[0]);
    golden(true, &[1]);
    golden((), &[]);
    golden(1.0f32, &[0, 0, 0x80, 0x3f]);
    golden(-2.0f64, &[0, 0, 0, 0, 0, 0, 0, 0xc0]);
    golden('a', &[0x61]);
    golden('é', &[0xc3, 0xa9]);
    golden('🎮', &[0xf0, 0x9f, 0x8e, 0xae]);
    golden("hé".to_owned(), &[3, b'h', 0xc3, 0xa9]);
    golden(Bytes::from_static(&[0, 255]), &[2, 0, 255]);
}

#[test]
fn golden_containers() {
    golden(None::<u16>, &[0]);
    golden(Some(300u16), &[1, 251, 0x2c, 1]);
    golden(Some(None::<u8>), &[1, 0]);
    golden(Vec::<u8>::new(), &[0]);
    golden(vec![1u16, 300], &[2, 1, 251, 0x2c, 1]);
    golden(vec![(); 3], &[3]);
    golden((1u8, -1i32, "x".to_owned()), &[1, 1, 1, b'x']);
    golden([1.0f32; 2], &[0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f]);
    golden(
        BTreeMap::from([(1u8, 'a'), (2, 'b')]),
        &[2, 1, b'a', 2, b'b'],
    );
    golden(Duration::new(300, 5), &[251, 0x2c, 1, 5]);

    let long = "x".repeat(251);
    let bytes = [&[251, 251, 0], long.as_bytes()].concat();
    golden(long, &bytes);
}

#[test]
fn golden_enums() {
    golden(Action::Jump, &[0]);
    golden(Action::Say("hi".into()), &[1, 2, b'h', b'i']);
    golden(
        Action::Move { dx: 1.0, dy: None },
        &[2, 0, 0, 0x80, 0x3f, 0],
    );
    golden(Action::Pair(9, Box::new(Action::Jump)), &[3, 9, 0]);
    golden(Ok::<u8, u8>(4), &[0, 4]);
    golden(Err::<u8, u8>(4), &[1, 4]);
}

#[test]
fn longer_forms_of_integers_are_taken() {
    assert_eq!(decode::<u16>(&[251, 5, 0]), Ok(5));
    assert_eq!(decode::<u64>(&[252, 5, 0, 0, 0]), Ok(5));
    assert_eq!(decode::<String>(&[251, 1, 0, b'x']), Ok("x".into()));
}

#[test]
fn encode_appends() {
    let mut out = vec![9, 9];
    assert_eq!(encode(&300u16, &mut out, 3), Ok(3));
    assert_eq!(out, [9, 9, 251, 0x2c, 1]);
    assert_eq!(encode("ab", &mut out, 3), Ok(3));
    assert_eq!(out.len(), 8);
}

#[test]
fn encode_over_the_limit_tells_the_real_size_and_leaves_no_trace() {
    let mut out = vec![9, 9];
    let value = ("x".repeat(100), vec![1u8; 1000]);
    let size = encoded_len(&value).unwrap();
    assert_eq!(size, 1 + 100 + 3 + 1000);
    for limit in [0, 1, 50, 101, size - 1] {
        let error = encode(&value, &mut out, limit).unwrap_err();
        assert_eq!(error, EncodeError::TooLarge { size, limit });
        assert_eq!(out, [9, 9]);
    }
    assert!(
        out.capacity() < 2 * size,
        "bytes over the limit are not stored"
    );
    assert_eq!(encode(&value, &mut out, size), Ok(size));
}

#[test]
fn encode_into_a_reused_buffer_does_not_allocate() {
    let mut out = Vec::with_capacity(64);
    let before = out.as_ptr();
    for round in 0..100u32 {
        out.clear();
        encode(&(round, 1.5f32, "hello"), &mut out, 64).unwrap();
    }
    assert_eq!(out.as_ptr(), before);
}

#[test]
fn what_has_no_encoding_is_an_error_and_leaves_no_trace() {
    #[derive(Serialize)]
    struct Flat {
        first: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    struct Stubborn;
    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }

    let mut out = vec![9];
    let flat = Flat {
        first: 1,
        rest: BTreeMap::new(),
    };
    let error = encode(&(7u8, flat), &mut out, 100).unwrap_err();
    assert!(error.to_string().contains("flatten"), "{error}");
    let error = encode(&(7u8, Stubborn), &mut out, 100).unwrap_err();
    assert_eq!(
        error,
        EncodeError::Unencodable {
            why: "not today".into()
        }
    );
    assert_eq!(out, [9]);
    assert!(encoded_len(&Stubborn).is_err());
}

/// Compares by bytes, so that NaNs count.
fn survives<T: Serialize + DeserializeOwned>(value: &T) -> Result<(), TestCaseError> {
    let bytes = bytes_of(value);
    let back = decode::<T>(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(bytes_of(&back), bytes);
    Ok(())
}

fn action() -> impl Strategy<Value = Action> {
    let leaf = prop_oneof![
        Just(Action::Jump),
        ".{0,8}".prop_map(Action::Say),
        (any::<u32>(), any::<Option<u32>>()).prop_map(|(dx, dy)| Action::Move {
            dx: f32::from_bits(dx),
            dy: dy.map(f32::from_bits),
        }),
    ];
    leaf.prop_recursive(8, 16, 1, |inner| {
        (any::<u8>(), inner).prop_map(|(n, inner)| Action::Pair(n, Box::new(inner)))
    })
}

prop_compose! {
    fn everything()(
        (flag, small, medium, wide) in any::<(bool, (u8, i8), (u16, i16), (u32, i32))>(),
        (long, huge, single, double) in any::<((u64, i64), (u128, i128), u32, u64)>(),
        (letter, text, blob) in (any::<char>(), ".{0,16}", prop::collection::vec(any::<u8>(), 0..16)),
        (maybe, array) in any::<(Option<Option<u16>>, [u16; 3])>(),
        list in prop::collection::vec(prop::collection::vec(any::<i32>(), 0..4), 0..4),
        map in prop::collection::btree_map(".{0,4}", prop::collection::vec(action(), 0..3), 0..4),
        action in action(),
    ) -> Everything {
        Everything {
            flag, small, medium, wide, long, huge,
            single: f32::from_bits(single),
            double: f64::from_bits(double),
            letter, text,
            blob: blob.into(),
            nothing: (),
            maybe, list, map, array, action,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_survives(value in everything()) {
        survives(&value)?;
    }

    #[test]
    fn floats_keep_their_bits(single: u32, double: u64) {
        let bytes = bytes_of(&(f32::from_bits(single), f64::from_bits(double)));
        let (s, d) = decode::<(f32, f64)>(&bytes).unwrap();
        prop_assert_eq!((s.to_bits(), d.to_bits()), (single, double));
    }

    #[test]
    fn integers_survive(a: u16, b: u32, c: u64, d: u128, e: i16, f: i32, g: i64, h: i128) {
        let value = (a, b, c, d, e, f, g, h);
        prop_assert_eq!(decode(&bytes_of(&value)), Ok(value));
    }
}

#[test]
fn particular_floats_keep_their_bits() {
    for bits in [
        0x8000_0000u32,
        0x7fc0_0001,
        0xffc0_dead,
        0x7f80_0001,
        0x7f80_0000,
        1,
    ] {
        let back = decode::<f32>(&bytes_of(&f32::from_bits(bits))).unwrap();
        assert_eq!(back.to_bits(), bits);
    }
    let back = decode::<f64>(&bytes_of(&-0.0f64)).unwrap();
    assert_eq!(back.to_bits(), (-0.0f64).to_bits());
}
