//! What every value type promises of its encoding.

use std::fmt::Debug;

use bincode::config::standard;
use bincode::serde::{decode_from_slice, encode_to_vec};
use serde::{Serialize, de::DeserializeOwned};

use super::*;

fn encode<T: Serialize>(value: T) -> Vec<u8> {
    encode_to_vec(value, standard()).unwrap()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    let (value, read) = decode_from_slice(bytes, standard()).unwrap();
    assert_eq!(read, bytes.len());
    value
}

#[track_caller]
fn assert_travels<T>(value: T, size: usize)
where
    T: Serialize + DeserializeOwned + Copy + Debug + PartialEq,
{
    let bytes = encode(value);
    assert_eq!(bytes.len(), size, "{value:?}");
    assert_eq!(decode::<T>(&bytes), value);
}

#[test]
fn sizes_are_those_of_the_table() {
    let vector = Vector3::new(0.1, -25.0, f32::MAX);
    let plane = Vector2::new(f32::MIN_POSITIVE, f32::INFINITY);
    assert_travels(plane, 8);
    assert_travels(vector, 12);
    assert_travels(Vector2int16::new(-125, 125), 2);
    assert_travels(Vector2int16::new(i16::MIN, i16::MAX), 6);
    assert_travels(Vector3int16::ZERO, 3);
    assert_travels(Vector3int16::new(-126, 126, i16::MAX), 9);
    assert_travels(CFrame::from_axis_angle(vector, 1.0) + Vector3::ONE, 48);
    assert_travels(Color3::new(-1.0, 0.5, 700.0), 12);
    assert_travels(BrickColor::red(), 1);
    assert_travels(BrickColor::from_number(1032), 3);
    assert_travels(UDim::new(0.5, -125), 5);
    assert_travels(UDim::new(0.5, i32::MIN), 9);
    assert_travels(UDim2::from_offset(1, 2), 10);
    assert_travels(UDim2::from_offset(i32::MAX, i32::MIN), 18);
    assert_travels(Rect::new(plane, Vector2::ONE), 16);
    assert_travels(Ray::new(vector, Vector3::ONE), 24);
    assert_travels(Region3::new(vector, Vector3::ONE), 24);
    assert_travels(NumberRange::new(0.0, 1.0), 8);
}

#[test]
fn bytes_are_little_endian_in_field_order() {
    let expected = [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40];
    assert_eq!(encode(Vector3::new(1.0, 2.0, 3.0)), expected);
    assert_eq!(encode(Color3::new(1.0, 2.0, 3.0)), expected);

    let rotation = [[4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]];
    let frame = CFrame::new(Vector3::new(1.0, 2.0, 3.0), rotation);
    let twelve: Vec<u8> = (1_u8..=12)
        .flat_map(|n| f32::from(n).to_le_bytes())
        .collect();
    assert_eq!(encode(frame), twelve);

    assert_eq!(
        encode((BrickColor::red(), Vector3::new(0.0, 25.0, 0.0))).len(),
        13
    );
    assert_eq!(encode(BrickColor::red()), [21]);
    assert_eq!(encode(BrickColor::from_number(1004)), [251, 0xec, 0x03]);
}

#[test]
fn nan_and_infinities_travel_unchanged() {
    let odd_nan = f32::from_bits(0x7fc0_1234);
    let sent = Vector3::new(odd_nan, f32::NEG_INFINITY, -0.0);
    let arrived = decode::<Vector3>(&encode(sent));
    assert_eq!(
        <[f32; 3]>::from(arrived).map(f32::to_bits),
        <[f32; 3]>::from(sent).map(f32::to_bits)
    );
    assert!(!arrived.is_finite());

    let arrived = decode::<CFrame>(&encode(CFrame::new(Vector3::ZERO, [[odd_nan; 3]; 3])));
    assert_eq!(arrived.rotation[2][2].to_bits(), odd_nan.to_bits());
    assert!(!arrived.is_finite());
}

#[test]
fn an_unknown_palette_number_arrives_as_gray() {
    for number in [0, 4, 250, 1033, u16::MAX] {
        assert_eq!(
            decode::<BrickColor>(&encode(number)),
            BrickColor::gray(),
            "{number}"
        );
    }
    for number in [1_u16, 194, 1032] {
        assert_eq!(decode::<BrickColor>(&encode(number)).number(), number);
    }
    // Wider than a u16: an error of the decoder, not a color.
    assert!(decode_from_slice::<BrickColor, _>(&encode(70_000_u32), standard()).is_err());
}

#[test]
fn cut_bytes_are_an_error() {
    let bytes = encode(CFrame::IDENTITY);
    for cut in 0..bytes.len() {
        assert!(decode_from_slice::<CFrame, _>(&bytes[..cut], standard()).is_err());
    }
}

#[test]
fn the_default_is_the_neutral_value() {
    assert_eq!(Vector3::default(), Vector3::ZERO);
    assert_eq!(CFrame::default() * Vector3::ONE, Vector3::ONE);
    assert_eq!(UDim2::default(), UDim2::from_offset(0, 0));
}
