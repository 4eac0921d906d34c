//! The arithmetic that every vector has, written once.
//!
//! Knows nothing about what the components mean.

/// Implements the operators, component by component, for a struct of `f32` fields.
macro_rules! componentwise {
    ($vector:ident { $($field:ident),+ }) => {
        impl std::ops::Add for $vector {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self { $($field: self.$field + other.$field),+ }
            }
        }

        impl std::ops::Sub for $vector {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self { $($field: self.$field - other.$field),+ }
            }
        }

        impl std::ops::Neg for $vector {
            type Output = Self;

            fn neg(self) -> Self {
                Self { $($field: -self.$field),+ }
            }
        }

        impl std::ops::Mul for $vector {
            type Output = Self;

            fn mul(self, other: Self) -> Self {
                Self { $($field: self.$field * other.$field),+ }
            }
        }

        impl std::ops::Mul<f32> for $vector {
            type Output = Self;

            fn mul(self, factor: f32) -> Self {
                Self { $($field: self.$field * factor),+ }
            }
        }

        impl std::ops::Mul<$vector> for f32 {
            type Output = $vector;

            fn mul(self, vector: $vector) -> $vector {
                vector * self
            }
        }

        impl std::ops::Div<f32> for $vector {
            type Output = Self;

            fn div(self, divisor: f32) -> Self {
                Self { $($field: self.$field / divisor),+ }
            }
        }

        impl std::ops::AddAssign for $vector {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl std::ops::SubAssign for $vector {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl std::ops::MulAssign<f32> for $vector {
            fn mul_assign(&mut self, factor: f32) {
                *self = *self * factor;
            }
        }

        impl std::ops::DivAssign<f32> for $vector {
            fn div_assign(&mut self, divisor: f32) {
                *self = *self / divisor;
            }
        }

        impl $vector {
            /// Returns the sum of the products of the components.
            #[must_use]
            pub fn dot(self, other: Self) -> f32 {
                0.0 $(+ self.$field * other.$field)+
            }

            /// Returns the length.
            ///
            /// Computed in double precision: it is infinite only where the length itself exceeds an `f32`.
            #[must_use]
            pub fn magnitude(self) -> f32 {
                self.magnitude_f64() as f32
            }

            /// Returns the vector of length one with the same direction, or `ZERO` for `ZERO`.
            ///
            /// A vector with a NaN or an infinity in it has no direction; some component of the result is
            /// then NaN.
            #[must_use]
            pub fn unit(self) -> Self {
                let magnitude = self.magnitude_f64();
                if magnitude == 0.0 {
                    return Self::ZERO;
                }
                Self { $($field: (f64::from(self.$field) / magnitude) as f32),+ }
            }

            /// Returns the point at `alpha` of the way to `goal`: `self` at 0, `goal` at 1, both exactly.
            ///
            /// `alpha` is not clamped; beyond 0 to 1 the point lies on the same line outside the two.
            #[must_use]
            pub fn lerp(self, goal: Self, alpha: f32) -> Self {
                self * (1.0 - alpha) + goal * alpha
            }

            /// Returns whether no component is NaN or infinite.
            ///
            /// Ask this of every vector that a peer sent, before any other check.
            #[must_use]
            pub const fn is_finite(self) -> bool {
                true $(&& self.$field.is_finite())+
            }

            // The square of an f32 neither overflows nor vanishes as an f64, so no vector but ZERO measures 0.
            fn magnitude_f64(self) -> f64 {
                (0.0 $(+ f64::from(self.$field) * f64::from(self.$field))+).sqrt()
            }
        }
    };
}

pub(super) use componentwise;
