//! The network that the environment asks for, so that whoever starts a program can choose what it
//! plays over.
//!
//! Knows nothing of who that is, and nothing of packets.

use std::{
    env,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use super::{Conditioner, Preset, Shared, UnknownPreset};

/// The conditioner that `FARFIRE_NET` asks for: one line makes the network of a program something
/// that its user, a script or `farfire playtest` can choose.
///
/// | `FARFIRE_NET` | the network |
/// |---|---|
/// | unset, empty, or `off` | untouched: the conditioner is there, and off |
/// | the name of a [`Preset`] | that preset, in both directions |
/// | `@` and the path of a file | what the file says, as above; read again four times a second, so it can change while the program runs |
///
/// Its seed is `FARFIRE_PLAYER` if that is a number, else 0, so that the players of one machine do not
/// lose the same packets. Nothing else in this crate reads these variables: a program whose users may not
/// choose their network, such as a server on the internet, does not call this.
///
/// A file that is gone or has become empty changes nothing, and what it says in error is logged. It is read by a
/// thread that ends within a quarter of a second after the last clone of the conditioner, or when it says
/// more than 64 bytes or something that is no text.
///
/// ```
/// use farfire::{Network, conditioner};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let network = Network::builder().conditioner(&conditioner::from_env()?).build()?;
/// // `Client::builder(..).network(&network)` now plays over what `FARFIRE_NET` says.
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If the variable, or the file at its first reading, does not say what the table has.
pub fn from_env() -> Result<Conditioner, EnvError> {
    let seed = env::var(PLAYER).ok().and_then(|number| number.parse().ok());
    let conditioner = Conditioner::new(seed.unwrap_or(0));
    match env::var(NET) {
        Ok(setting) => conditioner.obey(&setting)?,
        Err(env::VarError::NotPresent) => {}
        Err(env::VarError::NotUnicode(_)) => return Err(EnvError::NotText),
    }
    Ok(conditioner)
}

impl Conditioner {
    fn obey(&self, setting: &str) -> Result<(), EnvError> {
        let Some(path) = setting.strip_prefix('@') else {
            self.set_preset(preset(setting)?);
            return Ok(());
        };
        let unread = |source| EnvError::File {
            path: path.into(),
            source,
        };
        let word = read(Path::new(path)).map_err(unread)?;
        self.set_preset(preset(&word)?);
        let (shared, path) = (Arc::downgrade(&self.shared), PathBuf::from(path));
        thread::Builder::new()
            .name("farfire-net-file".into())
            .spawn(move || follow(&shared, &path, word))
            .map_err(EnvError::Thread)?;
        Ok(())
    }
}

/// Does what the file says, whenever that changes, while there is a conditioner to do it with.
fn follow(shared: &Weak<Shared>, path: &Path, mut last: String) {
    loop {
        thread::sleep(GLANCE);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let word = match read(path) {
            // Its writer is halfway through.
            Ok(word) if word.is_empty() => continue,
            Ok(word) => word,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, ?path, "the file of {NET} is not read any more");
                return;
            }
            Err(_) => continue,
        };
        if word == last {
            continue;
        }
        match preset(&word) {
            Ok(preset) => {
                Conditioner { shared }.set_preset(preset);
                tracing::info!(net = %word, "the network was changed by the file of {NET}");
            }
            Err(error) => tracing::warn!(%error, ?path, "the network stays as it is"),
        }
        last = word;
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 {
        0..=LONGEST => Ok(text.trim().into()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is longer than the name of a preset",
        )),
    }
}

fn preset(word: &str) -> Result<Option<Preset>, UnknownPreset> {
    match word {
        "" | "off" => Ok(None),
        name => name.parse().map(Some),
    }
}

/// Why the environment does not say what the network shall be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// It is no network that there is.
    #[error("FARFIRE_NET: {0}, or off")]
    Unknown(#[from] UnknownPreset),
    /// It is not Unicode, so no name of a preset.
    #[error("FARFIRE_NET is not text: set it to the name of a preset, or unset it")]
    NotText,
    /// The file that it names cannot be read, or is none of this kind.
    #[error("the file of FARFIRE_NET, {path:?}, cannot be read: {source}")]
    File {
        /// The path behind the `@`.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system gave no thread to follow the file with.
    #[error("no thread to follow the file of FARFIRE_NET: {0}")]
    Thread(#[source] io::Error),
}

const NET: &str = "FARFIRE_NET";
const PLAYER: &str = "FARFIRE_PLAYER";
/// How often the file is read.
const GLANCE: Duration = Duration::from_millis(250);
/// More than any preset's name, in bytes.
const LONGEST: u64 = 64;

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;

    fn outbound(conditioner: &Conditioner) -> super::super::Conditions {
        conditioner.lock().outbound.clone()
    }

    #[test]
    fn a_setting_is_a_preset_or_off() {
        let conditioner = Conditioner::new(0);
        conditioner.obey("wifi").unwrap();
        assert_eq!(outbound(&conditioner), Preset::Wifi.conditions());
        for off in ["", "off"] {
            conditioner.set_preset(Some(Preset::Awful));
            conditioner.obey(off).unwrap();
            assert!(!conditioner.is_on(), "{off:?}");
        }
    }

    #[test]
    fn an_unknown_setting_lists_what_there_is() {
        let error = Conditioner::new(0).obey("wifii").unwrap_err();
        assert_eq!(
            error.to_string(),
            "FARFIRE_NET: \"wifii\" is no network preset: choose lan, wifi, mobile_4g, \
             intercontinental or awful, or off"
        );
        let error = Conditioner::new(0).obey("@/nowhere/at/all").unwrap_err();
        assert!(matches!(error, EnvError::File { .. }), "{error}");
    }

    #[test]
    fn a_file_is_followed_until_the_conditioner_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net");
        fs::write(&path, "lan\n").unwrap();
        let conditioner = Conditioner::new(0);
        conditioner.obey(&format!("@{}", path.display())).unwrap();
        assert_eq!(outbound(&conditioner), Preset::Lan.conditions());

        // What is wrong changes nothing, and is no reason to stop.
        fs::write(&path, "nonsense").unwrap();
        thread::sleep(GLANCE * 2);
        assert_eq!(outbound(&conditioner), Preset::Lan.conditions());
        fs::write(&path, "awful").unwrap();
        until(|| outbound(&conditioner) == Preset::Awful.conditions());
        fs::write(&path, "off").unwrap();
        until(|| !conditioner.is_on());
    }

    #[test]
    fn the_follower_ends_with_the_conditioner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net");
        fs::write(&path, "lan").unwrap();
        let conditioner = Conditioner::new(0);
        let shared = Arc::downgrade(&conditioner.shared);
        let follower = thread::spawn(move || follow(&shared, &path, "lan".into()));
        assert!(!follower.is_finished());
        drop(conditioner);
        until(|| follower.is_finished());
    }

    #[test]
    fn a_file_that_is_no_setting_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero"));
        if cfg!(unix) {
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    fn until(done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(5));
        }
    }
}
