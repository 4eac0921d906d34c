//! The file of known servers: its format, its bounds, its lock.
//!
//! It is written by this module and by people with an editor, and read as if by neither: whatever is in
//! it is within its bounds or an error with a line. Knows nothing about what an entry means for a connection.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fd_lock::RwLock;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Month, OffsetDateTime};
use toml::value::{Date, Datetime, Offset, Time};

use super::{KnownServersError, Via};
use crate::tls::Pin;
use crate::tls::staged::{Secrecy, Staged};

/// All that is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    #[serde(deserialize_with = "version")]
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) server: Vec<Entry>,
    /// Servers that were refused, the latest first, for a person to decide about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<Refused>,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            version: VERSION,
            server: Vec::new(),
            refused: Vec::new(),
        }
    }
}

/// A server that is known; times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(with = "pin")]
    pub(super) pin: Pin,
    #[serde(default, deserialize_with = "name")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "addresses")]
    pub(super) last_addrs: Vec<String>,
    #[serde(with = "date")]
    pub(super) first_seen: i64,
    #[serde(with = "date")]
    pub(super) last_seen: i64,
    pub(super) via: Via,
    #[serde(default, with = "pin_or_none", skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<Pin>,
    /// Those that it had before, the latest first. They are not believed any more.
    #[serde(default, with = "pins", skip_serializing_if = "Vec::is_empty")]
    pub(super) retired: Vec<Pin>,
}

impl Entry {
    /// The pins that it may have.
    pub(super) fn believed(&self) -> impl Iterator<Item = Pin> {
        [self.pin].into_iter().chain(self.next)
    }

    fn seen_at(&mut self, address: &str) {
        let address = address.to_ascii_lowercase();
        if is_address(&address) {
            self.last_addrs.retain(|known| *known != address);
            self.last_addrs.insert(0, address);
            self.last_addrs.truncate(MAX_ADDRESSES);
        }
    }
}

/// A server that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    #[serde(with = "pin")]
    pub(super) pin: Pin,
    #[serde(default, deserialize_with = "name")]
    pub(super) name: String,
    #[serde(deserialize_with = "address")]
    pub(super) address: String,
    #[serde(with = "date")]
    seen: i64,
}

impl Contents {
    /// The server that has, will have or had this pin.
    pub(super) fn of(&self, pin: &Pin) -> Option<&Entry> {
        let mut servers = self.server.iter();
        let has = servers.find(|server| server.pin == *pin);
        has.or_else(|| {
            let mut servers = self.server.iter();
            servers.find(|server| server.next == Some(*pin) || server.retired.contains(pin))
        })
    }

    /// The server that was last joined under this name or at one of these addresses.
    pub(super) fn like(&self, name: &str, addresses: &[&str]) -> Option<&Entry> {
        let is_like = |server: &&Entry| {
            let same = |known: &String| addresses.iter().any(|one| known.eq_ignore_ascii_case(one));
            let named = !name.is_empty() && server.name.eq_ignore_ascii_case(name);
            named || server.last_addrs.iter().any(same)
        };
        let like = self.server.iter().filter(is_like);
        like.max_by_key(|server| server.last_seen)
    }

    /// A server was joined or accepted. One that is new is added if it is said how it came to be known.
    pub(super) fn remember(
        &mut self,
        pin: Pin,
        name: &str,
        address: &str,
        via: Option<Via>,
        now: i64,
    ) {
        let has = self.server.iter().position(|server| server.pin == pin);
        let will = || {
            self.server
                .iter()
                .position(|server| server.next == Some(pin))
        };
        let at = match (has.or_else(will), via) {
            (Some(at), _) => at,
            (None, Some(via)) => {
                self.server.push(Entry {
                    pin,
                    name: String::new(),
                    last_addrs: Vec::new(),
                    first_seen: now,
                    last_seen: now,
                    via,
                    next: None,
                    retired: Vec::new(),
                });
                self.server.len() - 1
            }
            (None, None) => return,
        };
        let entry = &mut self.server[at];
        if entry.pin != pin {
            // What was announced has come: the key before is believed no more.
            let before = std::mem::replace(&mut entry.pin, pin);
            entry.next = None;
            entry.retired.retain(|retired| *retired != pin);
            entry.retired.insert(0, before);
            entry.retired.truncate(MAX_RETIRED);
        }
        entry.last_seen = now.max(entry.last_seen);
        if !name.is_empty() {
            entry.name = cut(name);
        }
        entry.seen_at(address);
        self.refused.retain(|refused| refused.pin != pin);
        if self.server.len() > MAX_SERVERS {
            let others = self
                .server
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at);
            let oldest = others.min_by_key(|(_, server)| server.last_seen);
            if let Some((oldest, _)) = oldest {
                self.server.remove(oldest);
            }
        }
    }

    pub(super) fn keep_refused(&mut self, pin: Pin, name: &str, address: &str, now: i64) {
        self.refused.retain(|refused| refused.pin != pin);
        let address = address.to_ascii_lowercase();
        if is_address(&address) {
            let name = cut(name);
            self.refused.insert(
                0,
                Refused {
                    pin,
                    name,
                    address,
                    seen: now,
                },
            );
            self.refused.truncate(MAX_REFUSED);
        }
    }
}

/// Reads the file; one that is not there is empty.
pub(super) fn read(path: &Path) -> Result<Contents, KnownServersError> {
    let io = |source| KnownServersError::Io {
        path: path.into(),
        source,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::default()),
        opened => opened.map_err(io)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    parse(&bytes).map_err(|(line, detail)| KnownServersError::Damaged {
        path: path.into(),
        line,
        detail,
    })
}

/// Changes the file, with no other process in between.
///
/// It is read again under the lock, so what others have written meanwhile stays.
pub(super) fn change<T>(
    path: &Path,
    edit: impl FnOnce(&mut Contents) -> T,
) -> Result<T, KnownServersError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    let io_at = |path: &Path| {
        let path = path.to_owned();
        move |source| KnownServersError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(io_at(dir))?;
    let lock_path = path.with_extension("lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path);
    let mut lock = RwLock::new(lock.map_err(io_at(&lock_path))?);
    let begun = Instant::now();
    // The system unlocks it when the process ends, however it ends.
    let _guard = loop {
        match lock.try_write() {
            Ok(guard) => break guard,
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                return Err(io_at(&lock_path)(error));
            }
            Err(_) if begun.elapsed() >= PATIENCE => {
                return Err(KnownServersError::Locked { path: lock_path });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    };
    let mut contents = read(path)?;
    let before = contents.clone();
    let outcome = edit(&mut contents);
    if contents != before {
        let text = render(&contents);
        Staged::write(dir, "toml", text.as_bytes(), Secrecy::Public)
            .and_then(|staged| staged.replace(path))
            .map_err(io_at(path))?;
    }
    Ok(outcome)
}

/// The contents, or the line that is damaged and what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Contents, (usize, String)> {
    let line_of = |at: usize| {
        1 + bytes[..at.min(bytes.len())]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err((
            line_of(bytes.len()),
            format!("the file is longer than {MAX_BYTES} bytes"),
        ));
    }
    let text = str::from_utf8(bytes)
        .map_err(|error| (line_of(error.valid_up_to()), "it is not UTF-8".to_owned()))?;
    let contents: Contents = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let detail = error.message().chars().filter(|c| !c.is_control());
        (line_of(at), detail.take(MAX_DETAIL_CHARS).collect())
    })?;
    let last = line_of(bytes.len());
    if contents.server.len() > MAX_SERVERS {
        return Err((last, format!("there are more than {MAX_SERVERS} servers")));
    }
    if contents.refused.len() > MAX_REFUSED {
        return Err((
            last,
            format!("there are more than {MAX_REFUSED} refused servers"),
        ));
    }
    let mut pins: Vec<_> = contents.server.iter().map(|server| server.pin).collect();
    pins.sort();
    match pins.windows(2).find(|two| two[0] == two[1]) {
        Some(twice) => Err((last, format!("the pin {} stands there twice", twice[0]))),
        None => Ok(contents),
    }
}

pub(super) fn render(contents: &Contents) -> String {
    let text = toml::to_string(contents).expect("texts, lists and dates can be written");
    format!("{HEADER}\n{text}")
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(D::Error::custom(format!(
            "it is of version {other}, and this program knows version {VERSION}"
        ))),
    }
}

mod pin {
    use super::*;

    pub(super) fn serialize<S: Serializer>(pin: &Pin, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(pin)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pin, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

mod pin_or_none {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        pin: &Option<Pin>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        pin.as_ref().map(Pin::to_string).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Pin>, D::Error> {
        pin::deserialize(deserializer).map(Some)
    }
}

mod pins {
    use super::*;

    pub(super) fn serialize<S: Serializer>(pins: &[Pin], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(pins.iter().map(Pin::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Pin>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        if texts.len() > MAX_RETIRED {
            return Err(D::Error::custom(format!(
                "there are more than {MAX_RETIRED} pins"
            )));
        }
        let pins = texts
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom));
        pins.collect()
    }
}

/// A date and time in UTC, to the second.
mod date {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        seconds: &i64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let date = OffsetDateTime::from_unix_timestamp((*seconds).clamp(0, LAST_SECOND));
        let date = date.expect("a second before the year 10000");
        let date = Datetime {
            date: Some(Date {
                year: date.year() as u16,
                month: date.month().into(),
                day: date.day(),
            }),
            time: Some(Time {
                hour: date.hour(),
                minute: date.minute(),
                second: Some(date.second()),
                nanosecond: None,
            }),
            offset: Some(Offset::Z),
        };
        date.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = Datetime::deserialize(deserializer)?;
        let (Some(date), Some(time), Some(Offset::Z)) = (text.date, text.time, text.offset) else {
            return Err(D::Error::custom(
                "a time is written like 2026-11-03T18:22:05Z",
            ));
        };
        let read = || {
            let month = Month::try_from(date.month).ok()?;
            let day = time::Date::from_calendar_date(date.year.into(), month, date.day).ok()?;
            let second = time.second.unwrap_or(0);
            let moment = day.with_hms(time.hour, time.minute, second).ok()?;
            Some(moment.assume_utc().unix_timestamp())
        };
        let seconds = read().filter(|seconds| *seconds >= 0);
        seconds.ok_or_else(|| D::Error::custom("there is no such time after 1970"))
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match name == cut(&name) {
        true => Ok(name),
        false => Err(D::Error::custom(format!(
            "a name has at most {MAX_NAME_CHARS} characters, and no control characters"
        ))),
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let address = String::deserialize(deserializer)?;
    match is_address(&address) {
        true => Ok(address),
        false => Err(D::Error::custom("an address is HOST:PORT")),
    }
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let addresses = Vec::<String>::deserialize(deserializer)?;
    if addresses.len() > MAX_ADDRESSES {
        return Err(D::Error::custom(format!(
            "there are more than {MAX_ADDRESSES} addresses"
        )));
    }
    match addresses.iter().all(|address| is_address(address)) {
        true => Ok(addresses),
        false => Err(D::Error::custom("an address is HOST:PORT")),
    }
}

/// Looks like an address; it is compared and shown, and never connected to.
fn is_address(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    plain && text.len() <= MAX_ADDRESS_BYTES && text.contains(':')
}

fn cut(name: &str) -> String {
    let kept = name.chars().filter(|c| !c.is_control());
    kept.take(MAX_NAME_CHARS).collect()
}

const HEADER: &str =
    "# Servers that this player has joined or accepted. Nothing in here is secret.";
const VERSION: u32 = 1;
/// Far more than the most servers take.
const MAX_BYTES: u64 = 4 << 20;
const MAX_SERVERS: usize = 1024;
/// Those of one evening.
const MAX_REFUSED: usize = 16;
const MAX_ADDRESSES: usize = 8;
const MAX_RETIRED: usize = 8;
const MAX_NAME_CHARS: usize = 64;
/// The longest name of a host, brackets and a port.
const MAX_ADDRESS_BYTES: usize = 263;
const MAX_DETAIL_CHARS: usize = 200;
/// That of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// The lock is held for as long as writing one file takes.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
