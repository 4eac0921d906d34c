//! The next identity of a folder: prepared, announced for a while, and then put in the place of the present one.
//!
//! Knows nothing about how it is announced.

use std::fs;
use std::io::ErrorKind;

use super::{Folder, Pair, io_error};
use crate::tls::certificate;
use crate::tls::{Identity, IdentityError, NextIdentity};

impl Folder<'_> {
    /// See [`Identity::prepare_next`].
    pub(in crate::tls) fn prepare_next(&self, now: i64) -> Result<NextIdentity, IdentityError> {
        self.load_or_create(now)?;
        for _ in 0..super::ATTEMPTS {
            if let Some(next) = self.read_next()? {
                return Ok(next);
            }
            // A key without a certificate is what a crash left, or what another process is about to complete.
            match super::read(&self.next.key, super::Secrecy::Secret)? {
                None => self.create(&self.next, now)?,
                Some(key) => {
                    let issued = self.issue_for(&self.next, &key, now)?;
                    self.write_certificate(&self.next, &issued)?;
                }
            }
        }
        Err(io_error(&self.next.key)(ErrorKind::NotFound.into()))
    }

    /// See [`Identity::rotate`].
    pub(in crate::tls) fn rotate(&self, now: i64) -> Result<Identity, IdentityError> {
        self.load_or_create(now)?;
        if self.read_next()?.is_none() {
            return Err(IdentityError::NoNext {
                dir: self.dir.to_owned(),
            });
        }
        self.switch()?;
        self.load_or_create(now)
    }

    /// The next identity, if it is complete.
    pub(super) fn read_next(&self) -> Result<Option<NextIdentity>, IdentityError> {
        let Some((key, certificate)) = self.next.load()? else {
            return Ok(None);
        };
        let identity =
            Identity::from_pem(&certificate, &key).map_err(|source| self.next.blame(source))?;
        let issued = certificate::issued_at(&identity.certified_key().cert);
        let from = issued.map(|issued| issued.saturating_add(OVERLAP_SECONDS));
        // One that farfire did not make takes its place when it is told to.
        let from = from.unwrap_or(NEVER);
        Ok(Some(NextIdentity {
            pin: identity.pin(),
            from: super::at(from),
        }))
    }

    /// Puts the next identity in the place of the present one.
    ///
    /// The key goes first: a new key with an old certificate is recognized, and finished by whoever finds it.
    pub(super) fn switch(&self) -> Result<(), IdentityError> {
        rename(&self.next.key, &self.present.key)?;
        rename(&self.next.certificate, &self.present.certificate)?;
        tracing::info!(dir = %self.dir.display(), "the next server identity took the place of the one before");
        Ok(())
    }

    /// Whether a switch was left half done, by this or another process; then it is done now.
    pub(super) fn finish_switch(&self, key: &[u8]) -> Result<bool, IdentityError> {
        let waiting = super::read(&self.next.certificate, super::Secrecy::Public)?;
        let Some(certificate) = waiting else {
            return Ok(false);
        };
        let belongs = Identity::from_pem(&certificate, key).is_ok();
        if belongs {
            rename(&self.next.certificate, &self.present.certificate)?;
        }
        Ok(belongs)
    }
}

impl Pair {
    /// Both files, if both are there.
    fn load(&self) -> Result<Option<(Pem, Pem)>, IdentityError> {
        let key = super::read(&self.key, super::Secrecy::Secret)?;
        let certificate = super::read(&self.certificate, super::Secrecy::Public)?;
        Ok(key.zip(certificate))
    }
}

type Pem = Vec<u8>;

/// Another process that does the same may have been first.
fn rename(from: &std::path::Path, to: &std::path::Path) -> Result<(), IdentityError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(io_error(to)),
    }
}

/// How long both identities are announced: whoever plays once a month hears of it.
const OVERLAP_SECONDS: i64 = 30 * 24 * 60 * 60;

/// The last second of the year 9999.
const NEVER: i64 = 253_402_300_799;
