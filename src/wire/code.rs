//! The numbers with which one side tells the other why: why a connection ends, why a call has no result.
//!
//! Number, name and text of each stand in one place, here; the specification repeats the tables and a
//! test compares them. Knows nothing about what a program makes of a code.

use std::fmt;

macro_rules! codes {
    ($(#[$doc:meta])* $Code:ident { $($number:literal $NAME:ident $text:literal)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Code(u32);

        impl $Code {
            $(
                #[doc = concat!("`", stringify!($number), "`: ", $text, ".")]
                pub const $NAME: Self = Self($number);
            )*

            /// Returns the name of the code, in capitals; `UNKNOWN` if this version knows none.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($NAME),)*
                    _ => "UNKNOWN",
                }
            }

            /// Returns what the code means, as a phrase in lower case.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "a code that this version does not know",
                }
            }

            /// Returns the number on the wire.
            pub const fn as_u32(self) -> u32 {
                self.0
            }

            /// Returns the code with this number, known or not.
            ///
            /// QUIC carries up to 62 bits; farfire codes have 32, and everything larger becomes
            /// `u32::MAX`, which no table uses.
            pub(crate) fn from_u64(number: u64) -> Self {
                Self(u32::try_from(number).unwrap_or(u32::MAX))
            }

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$NAME),*];
        }

        impl From<u32> for $Code {
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ({} {:#04x})", self.text(), self.name(), self.0)
            }
        }

        impl fmt::Debug for $Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({} {:#04x})", stringify!($Code), self.name(), self.0)
            }
        }
    };
}

codes! {
    /// Why a connection ends, or was never let in.
    ///
    /// The same numbers stand in `Refused`, in `Goodbye` and in the QUIC application close. A number
    /// that this version does not know is kept, and shown as `UNKNOWN`.
    CloseCode {
        0x00 NONE "ended without a reason"
        0x100 LEFT "the client left"
        0x101 SHUTDOWN "the server shuts down"
        0x102 KICKED "the server removed the player"
        0x103 FULL "the server is full"
        0x104 BANNED "the player is banned"
        0x105 BAD_TOKEN "the token was not accepted"
        0x106 BAD_NAME "the name was not accepted"
        0x107 PROTOCOL_VERSION "the two sides speak different versions of the protocol"
        0x108 REFUSED "the server refused the player for a reason of its own"
        0x109 JOIN_TIMEOUT "joining took too long"
        0x10a EXPIRED_TOKEN "the token has expired"
        0x110 PROTOCOL_VIOLATION "the other side did what the protocol forbids"
        0x111 MALFORMED "the other side sent bytes that mean nothing"
        0x112 TOO_LARGE "the other side sent more than a limit allows"
        0x113 RATE "the other side sent more often than its budget allows"
        0x114 SLOW_CONSUMER "the other side did not read fast enough"
        0x115 INTERNAL "an internal error of the side that closed"
        0x116 TOO_MANY_ATTEMPTS "too many attempts to join from one address"
    }
}

codes! {
    /// Why a call has no result.
    ///
    /// The same numbers stand in the reply of a call that failed in the runtime, and in the QUIC
    /// stream reset and stop of either side. A number that this version does not know is kept, and
    /// shown as `UNKNOWN`.
    CallCode {
        0x00 DROPPED "the stream was dropped without a verdict"
        0x10 CANCELLED "the caller no longer wants the result"
        0x11 CALLER_DEADLINE "the caller's deadline passed"
        0x20 BUSY "too many calls are running and waiting"
        0x21 RATE_LIMITED "the caller calls more often than it may"
        0x22 DRAINING "the callee is shutting down"
        0x23 UNKNOWN_FUNCTION "the callee knows no function of that id"
        0x24 NO_HANDLER "the function has no handler"
        0x25 SIGNATURE "the two sides declare the function with different types"
        0x26 DENIED "the caller may not call the function"
        0x27 REQUEST_TOO_LARGE "the request is longer than the callee accepts"
        0x28 REQUEST_MALFORMED "the request could not be read"
        0x29 REQUEST_STALLED "the request did not arrive in time"
        0x30 CALLEE_DEADLINE "the deadline passed at the callee"
        0x31 PANICKED "the handler panicked"
        0x32 ABANDONED "the handler ended without an answer"
        0x33 RESPONSE_TOO_LARGE "the result is longer than the caller accepts"
        0x34 RESPONSE_ENCODE "the result could not be written"
        0x35 RUNTIME_SHUTDOWN "the callee's runtime ended during the call"
        0x36 HANDLER_INTERNAL "the handler failed with an internal error"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_has_every_row() {
        let specification = include_str!("mod.rs");
        let close = CloseCode::ALL
            .iter()
            .map(|code| (code.as_u32(), code.name(), code.text()));
        let call = CallCode::ALL
            .iter()
            .map(|code| (code.as_u32(), code.name(), code.text()));
        for (number, name, text) in close.chain(call) {
            let row = format!("//! | {number:#04x} | {name} | {text} |");
            assert!(specification.contains(&row), "missing: {row}");
        }
    }

    #[test]
    fn golden_numbers() {
        assert_eq!(CloseCode::ALL.len(), 19);
        assert_eq!(CloseCode::KICKED.as_u32(), 0x102);
        assert_eq!(CloseCode::TOO_MANY_ATTEMPTS.as_u32(), 0x116);
        assert_eq!(CallCode::ALL.len(), 20);
        assert_eq!(CallCode::BUSY.as_u32(), 0x20);
        assert_eq!(CallCode::HANDLER_INTERNAL.as_u32(), 0x36);
    }

    #[test]
    fn every_number_is_a_code() {
        assert_eq!(CloseCode::from_u64(0x102), CloseCode::KICKED);
        assert_eq!(CallCode::from_u64(0x77).as_u32(), 0x77);
        assert_eq!(CallCode::from_u64(0x77).name(), "UNKNOWN");
        assert_eq!(CloseCode::from_u64(u64::MAX).as_u32(), u32::MAX);
    }

    #[test]
    fn shown() {
        assert_eq!(
            CloseCode::FULL.to_string(),
            "the server is full (FULL 0x103)"
        );
        assert_eq!(format!("{:?}", CallCode::DROPPED), "CallCode(DROPPED 0x00)");
        assert_eq!(
            CallCode::from(9).to_string(),
            "a code that this version does not know (UNKNOWN 0x09)"
        );
    }
}
