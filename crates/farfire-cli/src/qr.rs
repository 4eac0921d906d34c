//! A QR code for terminals: two modules per character, light on dark.
//!
//! Knows nothing of what it says.

use crossterm::terminal;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::paint::Paint;

/// The lines of a code for `text`, if it fits into the terminal.
pub(crate) fn for_terminal(text: &str, paint: Paint) -> Option<String> {
    let (columns, _) = terminal::size().ok()?;
    let lines = draw(text)?;
    let width = lines.lines().map(|line| line.chars().count()).max()?;
    let fits = width < usize::from(columns);
    fits.then(|| {
        let lines: Vec<_> = lines
            .lines()
            .map(|line| paint.paint(LIGHT_ON_DARK, line))
            .collect();
        lines.join("\n")
    })
}

fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    // The light modules are those that are drawn: most terminals are dark, and cameras want the edge light.
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(drawn)
}

/// White blocks on black, whatever the colours of the terminal.
const LIGHT_ON_DARK: &str = "97;40";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_a_light_edge_and_two_modules_per_character() {
        let lines = draw("farfire://192.168.1.7:4433").unwrap();
        let lines: Vec<Vec<char>> = lines.lines().map(|line| line.chars().collect()).collect();
        assert!(lines[0].iter().all(|c| *c == '\u{2588}'), "{lines:?}");
        assert_eq!(lines.len(), lines[0].len().div_ceil(2));
    }
}
