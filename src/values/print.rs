//! How numbers print: the way Luau's `print` shows them, `25` and not `25.0`.
//!
//! Knows nothing about the types that print through it.

use std::fmt;

/// Writes the numbers joined by `", "`, each as short as it can be and still read back as the same `f32`.
///
/// A precision in the format string (`{:.2}`) holds for every number. NaN prints as `nan`.
pub(super) fn list(f: &mut fmt::Formatter<'_>, numbers: &[f32]) -> fmt::Result {
    for (index, &number) in numbers.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        match f.precision() {
            _ if number.is_nan() => f.write_str("nan")?,
            Some(digits) => write!(f, "{number:.digits$}")?,
            None => write!(f, "{number}")?,
        }
    }
    Ok(())
}
