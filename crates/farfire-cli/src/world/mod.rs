//! The world that `host` opens and `join` enters: something to say, something to count, and who is there.
//!
//! What a game has in the code that both of its sides compile. Knows nothing of terminals.

mod table;

use farfire::{RemoteEvent, RemoteFunction};
use serde::{Deserialize, Serialize};

pub(crate) use self::table::{Meter, Row, table};

/// What a player says; everybody hears it as [`News::Said`].
pub(crate) const SAY: RemoteEvent<String> = RemoteEvent::new("Say");
/// Adds to the counter, and returns what it is then.
pub(crate) const ADD: RemoteFunction<i64, i64> = RemoteFunction::new("Add");
/// What happens, to everybody, in one order.
pub(crate) const NEWS: RemoteEvent<News> = RemoteEvent::new("News");
/// Who is there and how they are connected, once a second; on a lane of its own, so that a long list
/// never stands before a word.
pub(crate) const PLAYERS: RemoteEvent<Vec<Row>> = RemoteEvent::new("Players").lane("players");

/// Something that happened in the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum News {
    /// The first that a player hears: what the counter is, and who else is there.
    Welcome {
        counter: i64,
        players: Vec<String>,
    },
    Joined {
        who: String,
    },
    Left {
        who: String,
        why: String,
    },
    /// Without a name it is [`HOST`] who speaks.
    Said {
        who: Option<String>,
        text: String,
    },
    Counted {
        who: Option<String>,
        value: i64,
    },
}

/// What may be said: not nothing, and not a book.
pub(crate) fn speech(text: &str) -> Result<&str, &'static str> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("there is nothing to say"),
        1..=MAX_SPEECH => Ok(text),
        _ => Err("that is too long: 200 characters are allowed"),
    }
}

/// Reads what to add: a number, or nothing for 1.
pub(crate) fn addend(word: &str) -> Option<i64> {
    match word.trim() {
        "" => Some(1),
        word => word.parse().ok(),
    }
}

/// What the host is called where players have names; no player may have it.
pub(crate) const HOST: &str = "host";
const MAX_SPEECH: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_a_book_cannot_be_said() {
        assert_eq!(speech("  hi "), Ok("hi"));
        assert!(speech(" \t").is_err());
        assert!(speech(&"\u{e9}".repeat(MAX_SPEECH)).is_ok());
        assert!(speech(&"x".repeat(MAX_SPEECH + 1)).is_err());
    }
}
