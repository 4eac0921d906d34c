//! Colour, where it is welcome, and text from others without what a terminal would obey.
//!
//! Knows nothing of what is printed.

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal},
};

/// Whether escape sequences may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Coloured,
    Plain,
}

impl Paint {
    /// For standard output: coloured on a terminal that knows how, unless the user objects.
    pub(crate) fn stdout() -> Self {
        match io::stdout().is_terminal() && is_wanted() {
            true => Self::Coloured,
            false => Self::Plain,
        }
    }

    /// `text` in a style, or as it is.
    pub(crate) fn paint(self, style: &str, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{style}m{text}\x1b[0m"),
            Self::Plain => text.into(),
        }
    }
}

/// `NO_COLOR` is honoured as its authors have it: set and not empty.
fn is_wanted() -> bool {
    let unset = |name| env::var_os(name).is_none_or(|value| value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    unset("NO_COLOR") && !dumb
}

/// Text from a peer as it may be printed: control characters, and those that reorder a line, would let a
/// player's name move the cursor or look like another one.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    match text.contains(misleads) {
        true => text.replace(misleads, "\u{fffd}").into(),
        false => text.into(),
    }
}

fn misleads(c: char) -> bool {
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c);
    c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}

pub(crate) const BOLD: &str = "1";
pub(crate) const DIM: &str = "2";
pub(crate) const RED: &str = "31";
pub(crate) const GREEN: &str = "32";
pub(crate) const YELLOW: &str = "33";
/// For telling speakers apart. None is red or green, which mean something.
pub(crate) const LABELS: [&str; 7] = ["1;36", "33", "35", "34", "93", "95", "94"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(printable("Zo\u{eb} \u{1f525}"), "Zo\u{eb} \u{1f525}");
        let hostile = "\u{1b}[2Jgone\r\n\u{202e}eda\u{9b}1m";
        let printed = printable(hostile);
        assert_eq!(
            printed,
            "\u{fffd}[2Jgone\u{fffd}\u{fffd}\u{fffd}eda\u{fffd}1m"
        );
    }
}
