//! The join link: everything that a player needs to join a server, in one line of chat.
//!
//! `farfire://HOST:PORT[/NAME][?a=ADDRESS,ADDRESS]#p=PIN[&t=TOKEN]`. Pin and token stand behind the `#`, which browsers do not send
//! to a web server. Parameters of other names are ignored. Knows nothing about connecting.

use std::{convert::Infallible, fmt, str::FromStr};

use super::{Address, AddressError, JoinToken, TokenError};
use crate::tls::{Pin, PinError};

/// Where a server is, who it is, and the permission to join it.
///
/// Links come from chat, so reading one is careful: it is at most 2048 bytes long, and what is damaged is
/// named. The name is the host's choice and proves nothing; it has no control characters. `Display` writes the link out, the token
/// included; `Debug` hides the token.
///
/// ```
/// use farfire::lan::JoinLink;
///
/// let pin = "0".repeat(52);
/// let link: JoinLink = format!("farfire://192.168.1.7:4433/desert-duel?a=10.0.0.5:4433#p={pin}").parse()?;
/// assert_eq!(link.name(), Some("desert-duel"));
/// assert_eq!(link.addresses().len(), 2);
/// assert!(link.token().is_none());
/// # Ok::<(), farfire::lan::LinkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinLink {
    /// At least one.
    addresses: Vec<Address>,
    name: Option<String>,
    pin: Pin,
    token: Option<JoinToken>,
}

impl JoinLink {
    /// A link to the server with this pin at `address`.
    pub fn new(address: Address, pin: Pin) -> Self {
        Self {
            addresses: vec![address],
            name: None,
            pin,
            token: None,
        }
    }

    /// Says that the server may be reached there as well; of all addresses 17 are kept, each once.
    pub fn also_at(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        for address in addresses {
            if self.addresses.len() <= MAX_ALTERNATIVES && !self.addresses.contains(&address) {
                self.addresses.push(address);
            }
        }
        self
    }

    /// Gives the server's name for people, cut to 64 characters and without control characters.
    pub fn with_name(mut self, name: &str) -> Self {
        let kept = name
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_NAME_CHARS);
        let name: String = kept.collect();
        self.name = (!name.is_empty()).then_some(name);
        self
    }

    /// Lets whoever has the link join a server that wants this token.
    pub fn with_token(mut self, token: JoinToken) -> Self {
        self.token = Some(token);
        self
    }

    /// The addresses to try, the first being the best.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What the host calls the server.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Who the server is.
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The permission to join, if the server wants one.
    pub fn token(&self) -> Option<&JoinToken> {
        self.token.as_ref()
    }
}

impl fmt::Display for JoinLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{SCHEME}{}", self.addresses[0]);
        if let Some(name) = &self.name {
            text.push('/');
            percent_encode(name, &mut text);
        }
        for (at, address) in self.addresses[1..].iter().enumerate() {
            text.push_str(if at == 0 { "?a=" } else { "," });
            text.push_str(&address.to_string());
        }
        text.push_str(&format!("#p={}", self.pin));
        if let Some(token) = &self.token {
            text.push_str(&format!("&t={token}"));
        }
        f.pad(&text)
    }
}

impl FromStr for JoinLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > MAX_LINK_BYTES {
            return Err(LinkError::TooLong { bytes: text.len() });
        }
        let scheme = text.get(..SCHEME.len()).ok_or(LinkError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(LinkError::Scheme);
        }
        let rest = &text[SCHEME.len()..];
        let (rest, fragment) = rest.split_once('#').ok_or(LinkError::NoPin)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (address, name) = match rest.split_once('/') {
            Some((address, name)) => (address, Some(name)),
            None => (rest, None),
        };
        let mut addresses = vec![parse_address(address)?];
        if let Some(list) = parameter(query, "a")? {
            for (at, text) in list.split(',').filter(|text| !text.is_empty()).enumerate() {
                if at == MAX_ALTERNATIVES {
                    return Err(LinkError::TooManyAddresses);
                }
                let address = parse_address(text)?;
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        let pin = parameter(fragment, "p")?.filter(|pin| !pin.is_empty());
        let token = parameter(fragment, "t")?;
        Ok(Self {
            addresses,
            name: name.map(parse_name).transpose()?.flatten(),
            pin: parse_pin(pin.ok_or(LinkError::NoPin)?)?,
            token: token
                .map(str::parse)
                .transpose()
                .map_err(LinkError::Token)?,
        })
    }
}

fn parse_address(text: &str) -> Result<Address, LinkError> {
    text.parse().map_err(|source| LinkError::Address {
        address: text.chars().take(MAX_QUOTED_CHARS).collect(),
        source,
    })
}

fn parse_pin(text: &str) -> Result<Pin, LinkError> {
    // A pin has no colon; in front of one stands the name of another way to make it.
    if let Some((algorithm, _)) = text.split_once(':') {
        return Err(LinkError::PinAlgorithm {
            algorithm: algorithm.chars().take(MAX_QUOTED_CHARS).collect(),
        });
    }
    text.parse().map_err(LinkError::Pin)
}

fn parse_name(text: &str) -> Result<Option<String>, LinkError> {
    let name = percent_decode(text).ok_or(LinkError::Name)?;
    let is_short = name.chars().count() <= MAX_NAME_CHARS;
    match is_short && !name.chars().any(char::is_control) {
        true => Ok((!name.is_empty()).then_some(name)),
        false => Err(LinkError::Name),
    }
}

/// The value of the one parameter called `name`; two would mean whatever a reader likes.
fn parameter<'a>(text: &'a str, name: &'static str) -> Result<Option<&'a str>, LinkError> {
    let mut found = text.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    let first = found.next();
    match found.next() {
        Some(_) => Err(LinkError::Twice { parameter: name }),
        None => Ok(first),
    }
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digit = |c: u8| char::from(c).to_digit(16);
        bytes.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

impl TryFrom<&str> for JoinLink {
    type Error = LinkError;

    fn try_from(text: &str) -> Result<Self, LinkError> {
        text.parse()
    }
}

impl TryFrom<String> for JoinLink {
    type Error = LinkError;

    fn try_from(text: String) -> Result<Self, LinkError> {
        text.parse()
    }
}

impl TryFrom<&String> for JoinLink {
    type Error = LinkError;

    fn try_from(text: &String) -> Result<Self, LinkError> {
        text.parse()
    }
}

impl From<&Self> for JoinLink {
    fn from(link: &Self) -> Self {
        link.clone()
    }
}

const SCHEME: &str = "farfire://";
/// With the longest of everything that is sensible; QR codes end at some 2900.
const MAX_LINK_BYTES: usize = 2048;
/// Beside the first address. A machine has few, and each costs a handshake.
const MAX_ALTERNATIVES: usize = 16;
const MAX_NAME_CHARS: usize = 64;
/// Of a stranger's text that is shown in an error.
const MAX_QUOTED_CHARS: usize = 64;

/// What is wrong with a join link, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It does not begin like a join link.
    #[error("a join link begins with farfire://: copy it again from its beginning")]
    Scheme,
    /// It is longer than a join link can be.
    #[error(
        "a join link has at most {MAX_LINK_BYTES} bytes, this has {bytes}: copy the link alone"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// One of the addresses is none.
    #[error("the link's address {address:?} cannot be used: {source}")]
    Address {
        /// The address, or its beginning.
        address: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// There are more than 16 addresses beside the first.
    #[error(
        "the link has more than {MAX_ALTERNATIVES} further addresses: ask the host for another link"
    )]
    TooManyAddresses,
    /// The name is too long, or no text.
    #[error(
        "the link's server name is damaged: copy the link again, or leave out what follows the / up to the ? or #"
    )]
    Name,
    /// It does not say who the server is.
    #[error(
        "the link has no pin (#p=...), its end is missing: copy it again up to its last character"
    )]
    NoPin,
    /// The pin is damaged.
    #[error("the link's pin is damaged: {0}")]
    Pin(#[source] PinError),
    /// The pin was made in a way that this version does not know.
    #[error("the link's pin is of an unknown kind ({algorithm:?}): update this game")]
    PinAlgorithm {
        /// What the link calls it, or the beginning of that.
        algorithm: String,
    },
    /// The token is damaged.
    #[error("the link's token is damaged: {0}")]
    Token(#[source] TokenError),
    /// A parameter stands there more than once.
    #[error(
        "the link has {parameter}= twice, which nothing honest writes: ask the host for another link"
    )]
    Twice {
        /// Which one.
        parameter: &'static str,
    },
}

/// A link that is one already cannot be damaged.
impl From<Infallible> for LinkError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests;
