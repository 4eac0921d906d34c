//! The secret that lets its holder join a playtest: made by the host, carried by links, and replaced at will.
//!
//! Knows nothing about how it travels.

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use subtle::ConstantTimeEq;

use crate::tls::{self, base32};

/// A random secret of 128 bits that a server wants from whoever joins.
///
/// Its text is 26 characters of Crockford's base32, read as tolerantly as a [`Pin`](crate::tls::Pin)'s. Comparing two takes the
/// same time wherever they differ. It does not appear in `Debug`; `Display` writes it out, for a link.
///
/// A client sends it when the server has proven its identity, and not before.
#[derive(Clone)]
pub struct JoinToken([u8; 16]);

impl JoinToken {
    /// Makes a new one.
    ///
    /// # Errors
    ///
    /// [`TokenError::NoRandomness`] if the system has no random numbers to give.
    pub fn generate() -> Result<Self, TokenError> {
        let mut bytes = [0; 16];
        match tls::fill_random(&mut bytes) {
            true => Ok(Self(bytes)),
            false => Err(TokenError::NoRandomness),
        }
    }

    /// Takes the 16 bytes of a token as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret itself.
    pub const fn secret_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }
}

impl PartialEq for JoinToken {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for JoinToken {}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32::encode(&self.0))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(..)")
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        base32::decode(text).map(Self).map_err(|error| match error {
            base32::Error::Length { found } => TokenError::Length { found },
            base32::Error::Character { position, .. } => TokenError::Character { position },
            base32::Error::LastCharacter { .. } => TokenError::LastCharacter,
        })
    }
}

/// Which [tokens](JoinToken) let players in now; clones are the same list.
///
/// A server takes one in [`ServerBuilder::join_tokens`](crate::ServerBuilder::join_tokens). There is one current token; those before it are
/// remembered, up to 16, so that their holders are told that the link has expired, and not that it is wrong.
#[derive(Clone)]
pub struct JoinTokens(Arc<Mutex<State>>);

struct State {
    current: JoinToken,
    expires: Option<Instant>,
    expired: VecDeque<JoinToken>,
}

impl JoinTokens {
    /// Begins with `token`, which is good until it is replaced.
    pub fn new(token: JoinToken) -> Self {
        Self(Arc::new(Mutex::new(State {
            current: token,
            expires: None,
            expired: VecDeque::new(),
        })))
    }

    /// The token that lets players in.
    pub fn current(&self) -> JoinToken {
        self.lock().current.clone()
    }

    /// Replaces the token: whoever holds the one before cannot join any more. Players who are in stay.
    pub fn replace(&self, token: JoinToken) {
        let mut state = self.lock();
        state.expires = None;
        let before = std::mem::replace(&mut state.current, token);
        if state.expired.len() == REMEMBERED {
            state.expired.pop_front();
        }
        state.expired.push_back(before);
    }

    /// Has the current token expire `after` this time, counted from now.
    pub fn expire_after(&self, after: Duration) {
        self.lock().expires = Instant::now().checked_add(after);
    }

    /// Whether somebody who brings `bytes` may join.
    pub(crate) fn judge(&self, bytes: &[u8]) -> TokenVerdict {
        let state = self.lock();
        // Each is compared, so that the time tells nothing about which one it was.
        let is_current = state.current.is(bytes);
        let was = state
            .expired
            .iter()
            .fold(false, |was, token| was | token.is(bytes));
        let over = state.expires.is_some_and(|at| Instant::now() >= at);
        match (is_current, over, was) {
            (true, false, _) => TokenVerdict::Good,
            (true, true, _) | (false, _, true) => TokenVerdict::Expired,
            (false, _, false) => TokenVerdict::Wrong,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<JoinToken> for JoinTokens {
    fn from(token: JoinToken) -> Self {
        Self::new(token)
    }
}

impl fmt::Debug for JoinTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinTokens(..)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenVerdict {
    Good,
    Expired,
    Wrong,
}

/// Links of one evening.
const REMEMBERED: usize = 16;

/// Why a text is not a [`JoinToken`], or none could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The text has too few or too many characters.
    #[error(
        "a token has 26 characters without hyphens, this has {found}: copy the link again in full"
    )]
    Length {
        /// How many there are, hyphens not counted.
        found: usize,
    },
    /// A character is none of those that occur in a token. It is not repeated, as the token is a secret.
    #[error("the character at position {position} cannot be in a token: copy the link again")]
    Character {
        /// Where it is, counted in characters from 1, hyphens included.
        position: usize,
    },
    /// The last character carries more than is left for it, so some character was mistyped.
    #[error("the token's last character cannot be right: copy the link again")]
    LastCharacter,
    /// The system has no random numbers to give.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(byte: u8) -> JoinToken {
        JoinToken::from_bytes([byte; 16])
    }

    #[test]
    fn two_are_never_the_same() {
        let (one, other) = (
            JoinToken::generate().unwrap(),
            JoinToken::generate().unwrap(),
        );
        assert_ne!(one, other);
    }

    #[test]
    fn a_token_is_never_printed_by_accident() {
        let token = token(7);
        let all = format!("{token:?} {:?}", JoinTokens::new(token.clone()));
        assert!(!all.contains(&token.to_string()), "{all}");
    }

    #[test]
    fn a_replaced_token_is_expired_and_not_wrong() {
        let tokens = JoinTokens::new(token(1));
        assert_eq!(tokens.judge(&[1; 16]), TokenVerdict::Good);
        assert_eq!(tokens.judge(&[2; 16]), TokenVerdict::Wrong);
        assert_eq!(tokens.judge(&[]), TokenVerdict::Wrong);
        tokens.replace(token(2));
        assert_eq!(tokens.judge(&[1; 16]), TokenVerdict::Expired);
        assert_eq!(tokens.judge(&[2; 16]), TokenVerdict::Good);
        assert_eq!(tokens.current(), token(2));
        // The list of those that were is bounded: the first is forgotten.
        (3..19).for_each(|byte| tokens.replace(token(byte)));
        assert_eq!(tokens.judge(&[1; 16]), TokenVerdict::Wrong);
        assert_eq!(tokens.judge(&[3; 16]), TokenVerdict::Expired);
    }

    #[test]
    fn a_token_ends_with_its_time() {
        let tokens = JoinTokens::new(token(1));
        tokens.expire_after(Duration::from_secs(3600));
        assert_eq!(tokens.judge(&[1; 16]), TokenVerdict::Good);
        tokens.expire_after(Duration::ZERO);
        assert_eq!(tokens.judge(&[1; 16]), TokenVerdict::Expired);
        assert_eq!(tokens.judge(&[2; 16]), TokenVerdict::Wrong);
        tokens.replace(token(2));
        assert_eq!(tokens.judge(&[2; 16]), TokenVerdict::Good);
        tokens.expire_after(Duration::MAX);
        assert_eq!(tokens.judge(&[2; 16]), TokenVerdict::Good);
    }

    proptest! {
        #[test]
        fn every_token_survives_its_text(bytes: [u8; 16]) {
            let token = JoinToken::from_bytes(bytes);
            let text = token.to_string();
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(text.parse::<JoinToken>(), Ok(token.clone()));
            prop_assert_eq!(text.to_lowercase().parse(), Ok(token));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<JoinToken>();
        }
    }
}
