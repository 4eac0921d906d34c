//! Issues the certificates of playtest servers, and reads back the little that renewing them takes.
//!
//! Knows nothing about files. Reading here is for a certificate of one's own; those of peers are
//! read by rustls alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, DnsName};
use time::{Date, Month, OffsetDateTime};

use super::{IdentityError, provider};

/// From when until when a certificate is good, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Validity {
    /// That of a certificate issued at `now`.
    pub(super) fn starting(now: i64) -> Self {
        Self {
            not_before: now.saturating_sub(CLOCK_SKEW_SECONDS),
            not_after: now.saturating_add(LIFETIME_SECONDS),
        }
    }

    /// Whether less than a third of the lifetime is left, or nothing, or it has not even begun.
    fn needs_renewal(self, now: i64) -> bool {
        let lifetime = self.not_after.saturating_sub(self.not_before);
        now < self.not_before || now >= self.not_after.saturating_sub(lifetime / 3)
    }
}

/// This machine's clock in seconds since 1970; 0 if it is set to before that.
pub(super) fn now() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

/// Makes a key of the one type that every client, browsers included, accepts: ECDSA P-256.
pub(super) fn generate_key() -> Result<KeyPair, IdentityError> {
    KeyPair::generate().map_err(generate_error)
}

/// Issues a self-signed certificate for this machine, and for `names`, each a DNS name or an IP
/// address.
pub(super) fn issue(
    key: &KeyPair,
    names: impl IntoIterator<Item = impl Into<String>>,
    validity: Validity,
) -> Result<rcgen::Certificate, IdentityError> {
    let mut subjects = machine_names();
    for name in names {
        let name = name.into();
        let subject = subject(&name).ok_or(IdentityError::Name { name })?;
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    let mut params = CertificateParams::default();
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.serial_number = Some(random_serial()?);
    params.subject_alt_names = subjects;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, ISSUER);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.self_signed(key).map_err(generate_error)
}

/// Whether `chain` is a certificate from [`issue`] that should be issued again at `now`.
///
/// Those of an authority are left alone whatever their age: a self-signed one could not stand in
/// for them.
pub(super) fn needs_renewal(chain: &[CertificateDer<'_>], now: i64) -> bool {
    let [certificate] = chain else {
        return false;
    };
    read(certificate).is_some_and(|facts| facts.ours && facts.validity.needs_renewal(now))
}

/// When a certificate from [`issue`] was issued, in seconds since 1970.
pub(super) fn issued_at(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let [certificate] = chain else {
        return None;
    };
    let facts = read(certificate).filter(|facts| facts.ours)?;
    Some(facts.validity.not_before.saturating_add(CLOCK_SKEW_SECONDS))
}

fn machine_names() -> Vec<SanType> {
    let mut names = vec![
        SanType::DnsName(Ia5String::try_from("localhost").expect("it is ASCII")),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    if let Some(host) = host_name() {
        // A name that does not fit into a certificate is no reason not to start.
        names.extend(subject(&host));
        names.extend(subject(&format!("{host}.local")));
    }
    names.extend(lan_addresses().map(SanType::IpAddress));
    names
}

/// The private addresses that this machine has now. Public ones are nobody's business who does not use them.
fn lan_addresses() -> impl Iterator<Item = IpAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let found = found.into_iter().map(|interface| interface.ip());
    let is_private = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    found.filter(is_private).take(MAX_LAN_ADDRESSES)
}

/// The machine's name where the standard library can tell it.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .or_else(|_| std::env::var("HOSTNAME"))
        .ok()?;
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty() && name != "localhost").then_some(name)
}

fn subject(name: &str) -> Option<SanType> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(SanType::IpAddress(address));
    }
    let name = DnsName::try_from(name).ok()?;
    Some(SanType::DnsName(Ia5String::try_from(name.as_ref()).ok()?))
}

fn date(seconds: i64) -> Result<OffsetDateTime, IdentityError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(generate_error)
}

/// Two certificates of one issuer must not share a number, and all of ours have the same issuer.
fn random_serial() -> Result<SerialNumber, IdentityError> {
    let mut serial = [0; 16];
    provider()
        .secure_random
        .fill(&mut serial)
        .map_err(|_| generate_error("no random numbers available"))?;
    // Positive, and of the same length every time.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(SerialNumber::from(serial.to_vec()))
}

fn generate_error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> IdentityError {
    IdentityError::Generate {
        source: source.into(),
    }
}

struct Facts {
    /// Whether [`issue`] made it.
    ours: bool,
    validity: Validity,
}

/// Walks to the dates: Certificate > TBSCertificate > version, serial, algorithm, issuer, validity.
fn read(certificate: &[u8]) -> Option<Facts> {
    let mut certificate = Der(certificate).enter(SEQUENCE)?;
    let mut body = certificate.enter(SEQUENCE)?;
    body.enter(VERSION)?;
    body.enter(INTEGER)?;
    body.enter(SEQUENCE)?;
    let issuer = body.enter(SEQUENCE)?;
    let mut dates = body.enter(SEQUENCE)?;
    let validity = Validity {
        not_before: dates.time()?,
        not_after: dates.time()?,
    };
    Some(Facts {
        ours: issuer.0 == ISSUER_DER,
        validity,
    })
}

/// The rest of a sequence of DER elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn enter(&mut self, expected_tag: u8) -> Option<Self> {
        let (tag, content) = self.element()?;
        (tag == expected_tag).then_some(Self(content))
    }

    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            // Four bytes of length are more than any certificate needs.
            let count = usize::from(first & 0x7f);
            let (bytes, after) = rest.split_at_checked(count).filter(|_| count <= 4)?;
            len = bytes.iter().try_fold(0usize, |len, &byte| {
                len.checked_mul(256)?.checked_add(byte.into())
            })?;
            rest = after;
        }
        let (content, after) = rest.split_at_checked(len)?;
        self.0 = after;
        Some((tag, content))
    }

    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.element()?;
        let mut pairs = text.strip_suffix(b"Z")?.chunks(2).map(two_digits);
        let year = match tag {
            UTC_TIME => match pairs.next()?? {
                year @ 50.. => 1900 + i32::from(year),
                year => 2000 + i32::from(year),
            },
            GENERALIZED_TIME => i32::from(pairs.next()??) * 100 + i32::from(pairs.next()??),
            _ => return None,
        };
        let month = Month::try_from(pairs.next()??).ok()?;
        let date = Date::from_calendar_date(year, month, pairs.next()??).ok()?;
        let time = date
            .with_hms(pairs.next()??, pairs.next()??, pairs.next()??)
            .ok()?;
        pairs
            .next()
            .is_none()
            .then(|| time.assume_utc().unix_timestamp())
    }
}

fn two_digits(pair: &[u8]) -> Option<u8> {
    match pair {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// A machine full of containers has hundreds, and every handshake carries the certificate.
const MAX_LAN_ADDRESSES: usize = 8;

/// Clocks of a local network may differ by a time zone that someone set wrong.
const CLOCK_SKEW_SECONDS: i64 = 24 * 60 * 60;

/// One year: the longest that no common verifier objects to.
const LIFETIME_SECONDS: i64 = 365 * 24 * 60 * 60;

/// The common name on both sides of a certificate of ours. It tells nothing about the machine.
const ISSUER: &str = "farfire";

/// [`ISSUER`] the way it stands in a certificate: a set of one attribute, commonName as a UTF-8
/// string.
const ISSUER_DER: &[u8] = b"\x31\x10\x30\x0e\x06\x03\x55\x04\x03\x0c\x07farfire";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn issued(validity: Validity) -> CertificateDer<'static> {
        issue(&generate_key().unwrap(), [""; 0], validity)
            .unwrap()
            .into()
    }

    #[test]
    fn dates_are_read_back() {
        // 1949, 1969, 2026, and 2121, which is past the two-digit years.
        for not_before in [-645_000_000, -3_600, 1_793_000_000, 4_770_000_000] {
            let validity = Validity::starting(not_before);
            let facts = read(&issued(validity)).unwrap();
            assert_eq!(facts.validity, validity);
            assert!(facts.ours);
        }
    }

    #[test]
    fn renewal_is_due_in_the_last_third() {
        let chain = [issued(Validity {
            not_before: 3_000,
            not_after: 6_000,
        })];
        assert!(needs_renewal(&chain, 2_999));
        assert!(!needs_renewal(&chain, 3_000));
        assert!(!needs_renewal(&chain, 4_999));
        assert!(needs_renewal(&chain, 5_000));
        assert!(needs_renewal(&chain, 7_000));
    }

    #[test]
    fn certificates_of_others_are_never_due() {
        let key = generate_key().unwrap();
        let mut params = CertificateParams::new(["play.example".to_owned()]).unwrap();
        params.not_after = date(1_000).unwrap();
        let theirs = CertificateDer::from(params.self_signed(&key).unwrap());
        let ours = issued(Validity {
            not_before: 0,
            not_after: 1_000,
        });
        assert!(!needs_renewal(std::slice::from_ref(&theirs), 2_000));
        assert!(!needs_renewal(&[ours, theirs], 2_000));
        assert!(!needs_renewal(&[], 2_000));
    }

    #[test]
    fn names_that_fit_no_certificate_are_named() {
        let key = generate_key().unwrap();
        for name in [
            "",
            "two words",
            "caf\u{e9}",
            "10.0.0.1:4433",
            &"a".repeat(300),
        ] {
            match issue(&key, [name], Validity::starting(0)) {
                Err(IdentityError::Name { name: refused }) => assert_eq!(refused, name),
                other => panic!("{name:?}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_damaged_certificate_panics(at: Index, byte: u8, len: Index) {
            let mut certificate = CERTIFICATE.to_vec();
            *at.get_mut(&mut certificate) = byte;
            let _ = read(&certificate);
            let _ = read(&certificate[..len.index(certificate.len())]);
        }
    }

    static CERTIFICATE: std::sync::LazyLock<CertificateDer<'static>> =
        std::sync::LazyLock::new(|| issued(Validity::starting(1_793_000_000)));
}
