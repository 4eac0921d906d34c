//! Conversions to and from the `mint` types, the meeting point of the math libraries.
//!
//! Knows nothing about any math library: each of them converts its own types to and from `mint`.

use ::mint::{
    ColumnMatrix3x4, ColumnMatrix4, IntoMint, Point2, Point3, RowMatrix3x4, RowMatrix4,
    Vector2 as Mint2, Vector3 as Mint3,
};

use super::{CFrame, Vector2, Vector3};

macro_rules! both_ways {
    ($($ours:ident = $theirs:ident { $($field:ident),+ };)+) => {$(
        impl From<$theirs<f32>> for $ours {
            fn from($theirs { $($field),+ }: $theirs<f32>) -> Self {
                Self { $($field),+ }
            }
        }

        impl From<$ours> for $theirs<f32> {
            fn from($ours { $($field),+ }: $ours) -> Self {
                Self { $($field),+ }
            }
        }
    )+};
}

both_ways! {
    Vector2 = Mint2 { x, y };
    Vector2 = Point2 { x, y };
    Vector3 = Mint3 { x, y, z };
    Vector3 = Point3 { x, y, z };
}

impl IntoMint for Vector2 {
    type MintType = Mint2<f32>;
}

impl IntoMint for Vector3 {
    type MintType = Mint3<f32>;
}

impl IntoMint for CFrame {
    type MintType = RowMatrix3x4<f32>;
}

/// The rotation in the first three columns, the position in the fourth; nothing is lost.
impl From<CFrame> for RowMatrix3x4<f32> {
    fn from(CFrame { position, rotation }: CFrame) -> Self {
        let [[a, b, c], [d, e, f], [g, h, i]] = rotation;
        Self::from([
            [a, b, c, position.x],
            [d, e, f, position.y],
            [g, h, i, position.z],
        ])
    }
}

/// The rotation from the first three columns, the position from the fourth, as given; nothing is lost.
impl From<RowMatrix3x4<f32>> for CFrame {
    fn from(matrix: RowMatrix3x4<f32>) -> Self {
        let [[a, b, c, x], [d, e, f, y], [g, h, i, z]] = matrix.into();
        Self::new(Vector3::new(x, y, z), [[a, b, c], [d, e, f], [g, h, i]])
    }
}

/// As the conversion to rows, transposed in memory.
impl From<CFrame> for ColumnMatrix3x4<f32> {
    fn from(frame: CFrame) -> Self {
        RowMatrix3x4::from(frame).into()
    }
}

/// As the conversion from rows, transposed in memory.
impl From<ColumnMatrix3x4<f32>> for CFrame {
    fn from(matrix: ColumnMatrix3x4<f32>) -> Self {
        RowMatrix3x4::from(matrix).into()
    }
}

/// The affine matrix: a bottom row of `0, 0, 0, 1`.
impl From<CFrame> for RowMatrix4<f32> {
    fn from(frame: CFrame) -> Self {
        let RowMatrix3x4 { x, y, z } = frame.into();
        Self {
            x,
            y,
            z,
            w: [0.0, 0.0, 0.0, 1.0].into(),
        }
    }
}

/// The upper three rows, as given. The bottom row is dropped, so a projection does not survive.
impl From<RowMatrix4<f32>> for CFrame {
    fn from(RowMatrix4 { x, y, z, w: _ }: RowMatrix4<f32>) -> Self {
        RowMatrix3x4 { x, y, z }.into()
    }
}

/// As the conversion to rows, transposed in memory.
impl From<CFrame> for ColumnMatrix4<f32> {
    fn from(frame: CFrame) -> Self {
        RowMatrix4::from(frame).into()
    }
}

/// As the conversion from rows, transposed in memory; the bottom row is dropped.
impl From<ColumnMatrix4<f32>> for CFrame {
    fn from(matrix: ColumnMatrix4<f32>) -> Self {
        RowMatrix4::from(matrix).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_points_convert_both_ways() {
        let plane = Vector2::new(1.0, 2.0);
        assert_eq!(Vector2::from(Mint2::from(plane)), plane);
        assert_eq!(Vector2::from(Point2::from(plane)), plane);
        assert_eq!(Mint2::from(plane), Mint2 { x: 1.0, y: 2.0 });
        let space = Vector3::new(1.0, 2.0, 3.0);
        assert_eq!(Vector3::from(Mint3::from(space)), space);
        assert_eq!(Vector3::from(Point3::from(space)), space);
        assert_eq!(
            Mint3::from(space),
            Mint3 {
                x: 1.0,
                y: 2.0,
                z: 3.0
            }
        );
    }

    #[test]
    fn frames_convert_both_ways() {
        let rotation = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let frame = CFrame::new(Vector3::new(10.0, 11.0, 12.0), rotation);
        assert_eq!(CFrame::from(RowMatrix3x4::from(frame)), frame);
        assert_eq!(CFrame::from(ColumnMatrix3x4::from(frame)), frame);
        assert_eq!(CFrame::from(RowMatrix4::from(frame)), frame);
        assert_eq!(CFrame::from(ColumnMatrix4::from(frame)), frame);
    }

    #[test]
    fn the_position_is_the_last_column() {
        let frame = CFrame::from_position(Vector3::new(7.0, 8.0, 9.0));
        let columns = ColumnMatrix4::from(frame);
        assert_eq!(<[f32; 4]>::from(columns.w), [7.0, 8.0, 9.0, 1.0]);
        assert_eq!(<[f32; 4]>::from(columns.x), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(
            <[f32; 4]>::from(RowMatrix4::from(frame).y),
            [0.0, 1.0, 0.0, 8.0]
        );
    }
}
