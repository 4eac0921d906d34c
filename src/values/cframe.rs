//! A place and an orientation in space. Knows nothing about what stands there.

use std::fmt;
use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

use super::{Vector3, print};

/// A coordinate frame: a position and a rotation.
///
/// Encoded in 48 bytes: the position, then the rotation row by row, twelve `f32`, little endian. Prints in that
/// order, joined by `", "`. The encoding is exact: what is sent is what arrives, bit for bit.
///
/// A frame looks along its own negative z axis. That the rotation is one (rows of length one, at right angles)
/// is not guaranteed: a peer sends what it likes.
///
/// ```
/// use farfire::values::{CFrame, Vector3};
///
/// let eye = CFrame::look_at(Vector3::new(0.0, 5.0, 10.0), Vector3::new(0.0, 5.0, 0.0));
/// let two_ahead = eye * Vector3::new(0.0, 0.0, -2.0);
/// assert_eq!(two_ahead, Vector3::new(0.0, 5.0, 8.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a place and an orientation are a frame"
)]
pub struct CFrame {
    /// Where the frame's origin is.
    pub position: Vector3,
    /// The rotation matrix, row by row; its columns are the frame's right, up and back.
    pub rotation: [[f32; 3]; 3],
}

impl CFrame {
    /// The frame at the origin, not rotated.
    pub const IDENTITY: Self = Self::from_position(Vector3::ZERO);

    /// Creates a frame from a position and the rows of a rotation matrix, as given.
    #[must_use]
    pub const fn new(position: Vector3, rotation: [[f32; 3]; 3]) -> Self {
        Self { position, rotation }
    }

    /// Creates a frame at a position, not rotated.
    #[must_use]
    pub const fn from_position(position: Vector3) -> Self {
        Self::new(position, NO_ROTATION)
    }

    /// Creates a frame at the origin, turned about an axis by an angle in radians.
    ///
    /// The turn is counterclockwise for who looks against the axis. The axis may be of any length; an axis of
    /// zero gives no rotation.
    #[must_use]
    pub fn from_axis_angle(axis: Vector3, radians: f32) -> Self {
        let Vector3 { x, y, z } = axis.unit();
        if (x, y, z) == (0.0, 0.0, 0.0) {
            return Self::IDENTITY;
        }
        let (sin, cos) = radians.sin_cos();
        let rest = 1.0 - cos;
        let rotation = [
            [
                rest * x * x + cos,
                rest * x * y - sin * z,
                rest * x * z + sin * y,
            ],
            [
                rest * x * y + sin * z,
                rest * y * y + cos,
                rest * y * z - sin * x,
            ],
            [
                rest * x * z - sin * y,
                rest * y * z + sin * x,
                rest * z * z + cos,
            ],
        ];
        Self::new(Vector3::ZERO, rotation)
    }

    /// Creates a frame at a position that looks at a target, with its top towards positive y.
    ///
    /// Looking straight up or down, its right is positive x; a target at the position gives no rotation.
    #[must_use]
    pub fn look_at(position: Vector3, target: Vector3) -> Self {
        let look = (target - position).unit();
        if look == Vector3::ZERO {
            return Self::from_position(position);
        }
        let right = match look.cross(Vector3::Y_AXIS).unit() {
            Vector3::ZERO => Vector3::X_AXIS,
            right => right,
        };
        Self::from_columns(position, right, right.cross(look), -look)
    }

    /// Returns the frame that undoes this one: `frame.inverse() * frame` is the identity, up to rounding.
    ///
    /// It takes the rotation for a proper one and transposes it; of a skewed or scaled matrix the result is not
    /// the inverse.
    #[must_use]
    pub fn inverse(self) -> Self {
        let [right, up, back] = self.columns();
        let p = -self.position;
        let position = Vector3::new(right.dot(p), up.dot(p), back.dot(p));
        Self::new(position, [right.into(), up.into(), back.into()])
    }

    /// Returns the direction to the frame's right.
    #[must_use]
    pub fn right_vector(self) -> Vector3 {
        let [right, _, _] = self.columns();
        right
    }

    /// Returns the direction to the frame's top.
    #[must_use]
    pub fn up_vector(self) -> Vector3 {
        let [_, up, _] = self.columns();
        up
    }

    /// Returns the direction in which the frame looks.
    #[must_use]
    pub fn look_vector(self) -> Vector3 {
        let [_, _, back] = self.columns();
        -back
    }

    /// Returns whether no number of the position or rotation is NaN or infinite.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.position.is_finite() && self.rotation.as_flattened().iter().all(|n| n.is_finite())
    }

    fn from_columns(position: Vector3, a: Vector3, b: Vector3, c: Vector3) -> Self {
        Self::new(
            position,
            [[a.x, b.x, c.x], [a.y, b.y, c.y], [a.z, b.z, c.z]],
        )
    }

    fn columns(self) -> [Vector3; 3] {
        let [x, y, z] = self.rotation;
        [0, 1, 2].map(|column| Vector3::new(x[column], y[column], z[column]))
    }

    fn place(self, point: Vector3) -> Vector3 {
        self.rotate(point) + self.position
    }

    fn rotate(self, direction: Vector3) -> Vector3 {
        self.rotation
            .map(|row| Vector3::from(row).dot(direction))
            .into()
    }
}

impl Default for CFrame {
    /// The identity.
    fn default() -> Self {
        Self::IDENTITY
    }
}

/// Composition: the frame `other`, given relative to `self`, in the space `self` is given in.
impl Mul for CFrame {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let [right, up, back] = other.columns().map(|column| self.rotate(column));
        Self::from_columns(self.place(other.position), right, up, back)
    }
}

/// The point `point`, given relative to `self`, in the space `self` is given in.
impl Mul<Vector3> for CFrame {
    type Output = Vector3;

    fn mul(self, point: Vector3) -> Vector3 {
        self.place(point)
    }
}

/// The frame moved by an offset, not rotated.
impl Add<Vector3> for CFrame {
    type Output = Self;

    fn add(self, offset: Vector3) -> Self {
        Self::new(self.position + offset, self.rotation)
    }
}

/// The frame moved against an offset, not rotated.
impl Sub<Vector3> for CFrame {
    type Output = Self;

    fn sub(self, offset: Vector3) -> Self {
        Self::new(self.position - offset, self.rotation)
    }
}

impl From<Vector3> for CFrame {
    fn from(position: Vector3) -> Self {
        Self::from_position(position)
    }
}

impl fmt::Display for CFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = <[f32; 3]>::from(self.position);
        let [x, y, z] = self.rotation;
        print::list(f, [position, x, y, z].as_flattened())
    }
}

const NO_ROTATION: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, PI};

    use super::*;

    fn assert_near(a: CFrame, b: CFrame) {
        let numbers = |frame: CFrame| {
            let [x, y, z] = frame.rotation;
            [frame.position.into(), x, y, z].concat()
        };
        for (a, b) in numbers(a).into_iter().zip(numbers(b)) {
            assert!((a - b).abs() < 1e-5, "{a} is not near {b}");
        }
    }

    fn some_frames() -> [CFrame; 5] {
        [
            CFrame::IDENTITY,
            CFrame::from_position(Vector3::new(1.0, -2.0, 3.0)),
            CFrame::from_axis_angle(Vector3::new(1.0, 2.0, -3.0), 0.7)
                + Vector3::new(4.0, 5.0, -6.0),
            CFrame::look_at(Vector3::new(3.0, 2.0, 1.0), Vector3::new(-5.0, 0.0, 9.0)),
            CFrame::look_at(Vector3::ONE, Vector3::new(1.0, 9.0, 1.0)),
        ]
    }

    #[test]
    fn a_frame_and_its_inverse_cancel() {
        for frame in some_frames() {
            assert_near(frame.inverse() * frame, CFrame::IDENTITY);
            assert_near(frame * frame.inverse(), CFrame::IDENTITY);
        }
    }

    #[test]
    fn composition_is_application_twice() {
        let point = Vector3::new(0.5, -1.0, 2.0);
        for a in some_frames() {
            for b in some_frames() {
                let difference = (a * b) * point - a * (b * point);
                assert!(
                    difference.magnitude() < 1e-4,
                    "{a} and {b} differ by {difference}"
                );
            }
        }
    }

    #[test]
    fn every_constructor_gives_a_right_handed_rotation() {
        for frame in some_frames() {
            let [right, up, back] = frame.columns();
            assert!((right.cross(up) - back).magnitude() < 1e-5, "{frame}");
            assert!((right.magnitude() - 1.0).abs() < 1e-5, "{frame}");
        }
    }

    #[test]
    fn turns_by_the_right_hand_rule() {
        let quarter = CFrame::from_axis_angle(Vector3::Y_AXIS * 7.0, FRAC_PI_2);
        assert!((quarter * Vector3::Z_AXIS - Vector3::X_AXIS).magnitude() < 1e-6);
        assert!((quarter.look_vector() + Vector3::X_AXIS).magnitude() < 1e-6);
        assert_eq!(CFrame::from_axis_angle(Vector3::ZERO, PI), CFrame::IDENTITY);
    }

    #[test]
    fn looks_where_it_is_told() {
        let frame = CFrame::look_at(Vector3::ZERO, Vector3::new(8.0, 0.0, 0.0));
        assert_eq!(frame.look_vector(), Vector3::X_AXIS);
        assert_eq!(frame.up_vector(), Vector3::Y_AXIS);
        assert_eq!(frame.right_vector(), Vector3::Z_AXIS);
        for straight in [Vector3::Y_AXIS, -Vector3::Y_AXIS] {
            let frame = CFrame::look_at(Vector3::ZERO, straight);
            assert_eq!(frame.look_vector(), straight);
            assert_eq!(frame.right_vector(), Vector3::X_AXIS);
        }
        assert_eq!(
            CFrame::look_at(Vector3::ONE, Vector3::ONE),
            Vector3::ONE.into()
        );
    }

    #[test]
    fn prints_the_position_and_then_the_rows() {
        let frame = CFrame::from_position(Vector3::new(0.0, 25.0, 0.5));
        assert_eq!(frame.to_string(), "0, 25, 0.5, 1, 0, 0, 0, 1, 0, 0, 0, 1");
    }

    #[test]
    fn one_bad_number_is_not_finite() {
        let mut frame = CFrame::default();
        assert!(frame.is_finite());
        frame.rotation[2][1] = f32::NAN;
        assert!(!frame.is_finite());
        assert!(!CFrame::from_position(Vector3::ONE / 0.0).is_finite());
    }
}
