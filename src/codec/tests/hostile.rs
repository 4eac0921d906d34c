//! Bytes that no honest sender makes.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Instant;

use serde::Deserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};

use super::*;

/// `varint(2^60)`, nothing behind it.
const VAST: [u8; 9] = [253, 0, 0, 0, 0, 0, 0, 0, 0x10];

#[track_caller]
fn refused<T: DeserializeOwned + fmt::Debug>(bytes: &[u8], error: PayloadError) {
    assert_eq!(decode::<T>(bytes).unwrap_err(), error);
}

#[test]
fn claims_of_vast_lengths_fail_at_once() {
    let start = Instant::now();
    refused::<String>(&VAST, PayloadError::Truncated);
    refused::<Box<str>>(&VAST, PayloadError::Truncated);
    refused::<Bytes>(&VAST, PayloadError::Truncated);
    refused::<Vec<u8>>(&VAST, PayloadError::TooManyElements);
    refused::<Vec<u16>>(&VAST, PayloadError::TooManyElements);
    refused::<Vec<String>>(&VAST, PayloadError::TooManyElements);
    refused::<Vec<()>>(&VAST, PayloadError::TooManyElements);
    refused::<HashMap<u8, u8>>(&VAST, PayloadError::TooManyElements);
    refused::<HashMap<(), ()>>(&VAST, PayloadError::TooManyElements);
    refused::<HashSet<()>>(&VAST, PayloadError::TooManyElements);
    assert!(start.elapsed().as_millis() < 500);
}

#[test]
fn claims_somewhat_beyond_the_payload_fail_too() {
    // 2^34 of everything, then 2^32 units.
    let claim = [253, 0, 0, 0, 0, 4, 0, 0, 0, 1, 1, 1];
    refused::<Vec<u16>>(&claim, PayloadError::TooManyElements);
    refused::<String>(&claim, PayloadError::Truncated);
    refused::<Vec<()>>(
        &[253, 0, 0, 0, 0, 1, 0, 0, 0],
        PayloadError::TooManyElements,
    );
    // One more than there is.
    refused::<String>(&[3, b'a', b'b'], PayloadError::Truncated);
    refused::<Bytes>(&[3, b'a', b'b'], PayloadError::Truncated);
    refused::<Vec<u16>>(&[3, 1, 2], PayloadError::Truncated);
    refused::<Vec<(u8, String)>>(&[1, 7, 4, b'a'], PayloadError::Truncated);
}

#[test]
fn entries_of_size_zero_are_counted_across_lists() {
    assert_eq!(
        decode::<Vec<()>>(&[251, 0xe8, 3]).map(|list| list.len()),
        Ok(1000)
    );
    // Each inner list alone would pass.
    let mut bytes = vec![10];
    bytes.extend([251, 0xe8, 3].repeat(10));
    refused::<Vec<Vec<()>>>(&bytes, PayloadError::TooManyElements);
}

#[test]
fn honest_lists_are_never_too_many() {
    let list = vec![0u8; 100_000];
    assert_eq!(decode(&bytes_of(&list)), Ok(list));
    let nested = vec![vec![vec![true; 3]; 500]; 20];
    assert_eq!(decode(&bytes_of(&nested)), Ok(nested));
    let map: HashMap<u16, Option<()>> = (0..5000).map(|key| (key, None)).collect();
    assert_eq!(decode(&bytes_of(&map)), Ok(map));
}

#[test]
fn size_hints_do_not_exceed_the_payload() {
    struct Hint(usize);
    impl<'de> Deserialize<'de> for Hint {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Peek;
            impl<'de> Visitor<'de> for Peek {
                type Value = Hint;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a list")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Hint, A::Error> {
                    let hint = list.size_hint().unwrap();
                    while list.next_element::<()>()?.is_some() {}
                    Ok(Hint(hint))
                }
            }
            deserializer.deserialize_seq(Peek)
        }
    }
    assert_eq!(decode::<Hint>(&[251, 0xe8, 3]).unwrap().0, 3);
    assert_eq!(decode::<Hint>(&[2]).unwrap().0, 1);
}

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(test)
        .unwrap();
    thread.join().unwrap();
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    on_a_small_stack(|| {
        refused::<Tree>(&[1, 1].repeat(6000), PayloadError::TooDeep);
        refused::<Tree>(&[1, 1].repeat(500_000), PayloadError::TooDeep);

        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only decoded")]
        struct Chain(Option<Box<Self>>);
        refused::<Chain>(&[1; 12_000], PayloadError::TooDeep);
    });
}

#[test]
fn nesting_up_to_the_limit_is_taken() {
    /// An enum and a list per level.
    fn tree(levels: usize) -> Tree {
        (1..levels).fold(Tree::List(vec![]), |inner, _| Tree::List(vec![inner]))
    }
    on_a_small_stack(|| {
        let levels = usize::from(guard::MAX_DEPTH) / 2;
        assert_eq!(decode(&bytes_of(&tree(levels))), Ok(tree(levels)));
        refused::<Tree>(&bytes_of(&tree(levels + 1)), PayloadError::TooDeep);
    });
}

#[test]
fn a_type_that_swallows_errors_does_not_hide_them() {
    #[derive(Debug)]
    struct Lenient;
    impl<'de> Deserialize<'de> for Lenient {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let _ = Vec::<()>::deserialize(deserializer);
            Ok(Self)
        }
    }
    refused::<Lenient>(&VAST, PayloadError::TooManyElements);
}

#[test]
fn malformed_parts_are_named() {
    let invalid = |what| PayloadError::Invalid { what };
    refused::<bool>(&[2], invalid("bool"));
    refused::<Option<u8>>(&[2, 0], invalid("option"));
    refused::<String>(&[2, 0xc3, 0x28], invalid("text"));
    refused::<char>(&[0xff], invalid("char"));
    refused::<char>(&[0xed, 0xa0, 0x80], invalid("char"));
    refused::<u16>(&[252, 0, 0, 0, 0], invalid("integer"));
    refused::<u16>(&[255, 0, 0], invalid("integer"));
    refused::<u128>(&[255; 17], invalid("integer"));
}

#[test]
fn what_the_type_refuses_is_rejected() {
    let why = |result: Result<_, PayloadError>| match result {
        Err(PayloadError::Rejected { why }) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(decode::<Action>(&[4]).map(drop)).contains("variant"));
    why(decode::<NonZeroU32>(&[0]).map(drop));
    why(decode::<Duration>(&[&[253][..], &[255; 8], &[252], &[255; 4]].concat()).map(drop));

    #[derive(Debug)]
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format_args!("do not like {text}")))
        }
    }
    let text = format!("\n\x1b[31m{}", "x".repeat(1000));
    let why = why(decode::<Picky>(&bytes_of(&text)).map(drop));
    assert_eq!(why.chars().count(), MAX_WHY_CHARS);
    assert!(!why.contains(char::is_control));
}

#[test]
fn types_that_need_names_are_unsupported() {
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only decoded")]
    enum Untagged {
        Number(u8),
    }
    refused::<Untagged>(&[1], PayloadError::Unsupported);
    refused::<IgnoredAny>(&[1], PayloadError::Unsupported);
}

#[test]
fn trailing_bytes_are_refused() {
    refused::<u8>(&[1, 2], PayloadError::TrailingBytes);
    refused::<()>(&[0], PayloadError::TrailingBytes);
    refused::<Vec<u8>>(&[1, 2, 3], PayloadError::TrailingBytes);
    let mut bytes = bytes_of(&Action::Say("hi".into()));
    bytes.push(0);
    refused::<Action>(&bytes, PayloadError::TrailingBytes);
}

#[test]
fn payloads_beyond_all_limits_are_refused() {
    let mut bytes = vec![0; MAX_LEN + 1];
    refused::<()>(&bytes, PayloadError::TooLong);
    bytes.truncate(100);
    refused::<()>(&bytes, PayloadError::TrailingBytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_truncation_fails(value in everything()) {
        let bytes = bytes_of(&value);
        for len in 0..bytes.len() {
            prop_assert!(decode::<Everything>(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn a_changed_byte_never_panics(value in everything(), at: prop::sample::Index, byte: u8) {
        let mut bytes = bytes_of(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode::<Everything>(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode::<Everything>(&bytes);
        let _ = decode::<Tree>(&bytes);
        let _ = decode::<Vec<Action>>(&bytes);
        let _ = decode::<HashMap<String, Vec<Option<(char, Bytes)>>>>(&bytes);
        let _ = decode::<Vec<Vec<()>>>(&bytes);
        if let Ok(text) = decode::<String>(&bytes) {
            prop_assert!(text.len() < bytes.len());
        }
    }
}
