//! The pin of a server: a hash of its public key, and how people read, copy and mistype it.
//!
//! Knows nothing about connections or files.

use std::fmt;
use std::str::FromStr;

use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::base32;

/// The SHA-256 of a server's public key, which is what a client remembers and checks.
///
/// It covers the `SubjectPublicKeyInfo` of the certificate, so it stays the same when the
/// certificate is renewed for the same key. It is not a secret. How well it is known that a pin
/// belongs to the right server depends on the way it came: a link from a friend is as trustworthy
/// as the channel it was sent over.
///
/// Its text is 52 characters of Crockford's base32 in upper case without padding. Reading also
/// takes lower case, hyphens anywhere, `O` for `0`, and `I` or `L` for `1`.
///
/// ```
/// use farfire::tls::Pin;
///
/// let pin = Pin::from_bytes([7; 32]);
/// let typed = pin.to_string().to_lowercase().replace('0', "o");
/// assert_eq!(typed.parse(), Ok(pin));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin([u8; 32]);

impl Pin {
    /// Takes the 32 bytes of a pin as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Computes the pin of the server that shows `certificate`.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let public_key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        // The provider's own SHA-256, by way of a suite that uses it: no second crate for one hash.
        let suite = TLS13_AES_128_GCM_SHA256
            .tls13()
            .expect("a suite of TLS 1.3");
        let hash = suite.common.hash_provider.hash(&public_key);
        Ok(Self(
            hash.as_ref()
                .try_into()
                .expect("a SHA-256 is 32 bytes long"),
        ))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base32::encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        base32::decode(text).map(Self).map_err(|error| match error {
            base32::Error::Length { found } => PinError::Length { found },
            base32::Error::Character {
                character,
                position,
            } => PinError::Character {
                character,
                position,
            },
            base32::Error::LastCharacter { character } => PinError::LastCharacter { character },
        })
    }
}

/// 256 bits in characters of 5 bits each, rounded up.
const TEXT_LEN: usize = 52;

/// Why a text is not a [`Pin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The text has too few or too many characters.
    #[error(
        "a pin has {TEXT_LEN} characters without hyphens, this has {found}: copy it again in full"
    )]
    Length {
        /// How many there are, hyphens not counted.
        found: usize,
    },
    /// A character is none of those that occur in a pin.
    #[error(
        "{character:?} at position {position} cannot be in a pin: only digits and letters except U"
    )]
    Character {
        /// The offending character.
        character: char,
        /// Where it is, counted in characters from 1, hyphens included.
        position: usize,
    },
    /// The last character carries more than the one bit that is left for it, so some character was
    /// mistyped.
    #[error("a pin ends in 0 or G, this ends in {character:?}: copy it again")]
    LastCharacter {
        /// The offending character.
        character: char,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts() {
        assert_eq!(Pin::from_bytes([0; 32]).to_string(), "0".repeat(52));
        assert_eq!(
            Pin::from_bytes([0xff; 32]).to_string(),
            "Z".repeat(51) + "G"
        );
        let mut bytes = [0; 32];
        bytes[..5].copy_from_slice(&[0x00, 0x44, 0x32, 0x14, 0xc7]);
        assert!(Pin::from_bytes(bytes).to_string().starts_with("01234567"));
    }

    #[test]
    fn what_people_type_is_understood() {
        let pin: Pin = ("01".repeat(25) + "A0").parse().unwrap();
        let typed = "oI-".repeat(12) + &"Ol".repeat(13) + "-a-O-";
        assert_eq!(typed.parse(), Ok(pin));
    }

    #[test]
    fn mistakes_are_named() {
        let zeros = "0".repeat(52);
        assert_eq!("".parse::<Pin>(), Err(PinError::Length { found: 0 }));
        assert_eq!(
            zeros[..51].parse::<Pin>(),
            Err(PinError::Length { found: 51 })
        );
        assert_eq!(
            (zeros.clone() + "00").parse::<Pin>(),
            Err(PinError::Length { found: 54 })
        );
        assert_eq!(
            "0-\u{e9}u".parse::<Pin>(),
            Err(PinError::Character {
                character: '\u{e9}',
                position: 3
            })
        );
        assert_eq!(
            "00U".parse::<Pin>(),
            Err(PinError::Character {
                character: 'U',
                position: 3
            })
        );
        let last = zeros[..51].to_owned() + "1";
        assert_eq!(
            last.parse::<Pin>(),
            Err(PinError::LastCharacter { character: '1' })
        );
    }

    proptest! {
        #[test]
        fn every_pin_survives_its_text(bytes: [u8; 32]) {
            let pin = Pin::from_bytes(bytes);
            let text = pin.to_string();
            prop_assert_eq!(text.len(), TEXT_LEN);
            prop_assert_eq!(text.parse(), Ok(pin));
            prop_assert_eq!(text.to_lowercase().parse(), Ok(pin));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Pin>();
        }

        #[test]
        fn what_is_read_is_written_back(text in "[0-9a-zA-Z-]{48,60}") {
            if let Ok(pin) = text.parse::<Pin>() {
                let plain = text.replace('-', "").to_uppercase();
                let plain = plain.replace('O', "0").replace(['I', 'L'], "1");
                prop_assert_eq!(pin.to_string(), plain);
            }
        }
    }
}
