//! Servers of the local network that announce themselves, and those who look for them.
//!
//! They use mDNS, service `_farfire._udp.local.`, on interfaces with a private address and no others. Whatever is found is a claim
//! of whoever sent it: it may list servers and fill in an address, and trust comes from elsewhere. Knows nothing about
//! connecting.
//!
//! ```no_run
//! use std::time::Duration;
//! use farfire::{Client, lan::{Code, discovery::{self, Scope}}};
//!
//! # async fn join(typed: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let code: Code = typed.parse()?;
//! let found = discovery::find(&code, Duration::from_secs(5), Scope::Lan).await?;
//! // The link has the full pin, which begins with the code: nobody else can answer.
//! let client = Client::join(found.link()).name("Ada").connect().await?;
//! # Ok(())
//! # }
//! ```

mod claims;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use mdns_sd::{
    IfKind, IfPredicate, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use tokio::time::{Instant, timeout_at};

pub use self::claims::Advertisement;
use super::{Address, Code, JoinLink, interfaces, is_private};
use crate::tls::{KnownServers, KnownServersError, Pin};

/// On which interfaces servers are announced and looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scope {
    /// Those with a private address, loopback excepted.
    #[default]
    Lan,
    /// IPv4 loopback: this machine alone, as for tests.
    Loopback,
}

impl Scope {
    /// A daemon on these interfaces; it has a thread, which ends with [`Daemon`].
    fn daemon(self) -> Result<Daemon, DiscoveryError> {
        let all = interfaces().unwrap_or_default();
        if self == Self::Lan && !all.iter().any(|interface| is_of_lan(interface.address)) {
            return Err(DiscoveryError::NoPrivateNetwork);
        }
        let daemon = Daemon(ServiceDaemon::new().map_err(system)?);
        daemon.0.disable_interface(IfKind::All).map_err(system)?;
        daemon.0.enable_interface(self.kind()).map_err(system)?;
        Ok(daemon)
    }

    fn kind(self) -> IfKind {
        match self {
            Self::Lan => IfKind::Predicate(IfPredicate::new(|interface| is_of_lan(interface.ip()))),
            Self::Loopback => IfKind::LoopbackV4,
        }
    }
}

/// Whether servers are announced, and looked for, on an interface because of this address.
///
/// Not because of a link-local one of IPv6: to connect to it takes a zone as well. And an announcement that comes
/// by it tells of it alone; whoever has heard that takes the server for known, and never asks for its others.
fn is_of_lan(address: IpAddr) -> bool {
    let needs_zone = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    is_private(address) && !address.is_loopback() && !needs_zone
}

/// The thread that speaks mDNS; it ends when this is dropped.
struct Daemon(ServiceDaemon);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its queue may be full for a moment.
        for _ in 0..SHUTDOWN_TRIES {
            match self.0.shutdown() {
                Err(mdns_sd::Error::Again) => thread::sleep(SHUTDOWN_PAUSE),
                _ => return,
            }
        }
    }
}

/// Announces a server for as long as it is kept.
///
/// One thread, which withdraws the announcement at its end, and lives a moment longer to say so twice.
pub struct Advertiser {
    /// There until it is dropped.
    daemon: Option<Daemon>,
    port: u16,
    scope: Scope,
    name: String,
}

impl Advertiser {
    /// Begins to announce a server that listens on `port`.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::NoPrivateNetwork`] where there is nobody to tell, and [`DiscoveryError::System`].
    pub fn start(
        advertisement: &Advertisement,
        port: u16,
        scope: Scope,
    ) -> Result<Self, DiscoveryError> {
        // Unique on the network, also for two servers of one machine.
        let name = format!("{}-{port}", advertisement.pin.code());
        let mut advertiser = Self {
            daemon: Some(scope.daemon()?),
            port,
            scope,
            name,
        };
        advertiser.update(advertisement)?;
        Ok(advertiser)
    }

    /// Announces what has changed, such as the number of players.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::System`] if it cannot be announced; then it stays as it was.
    pub fn update(&mut self, advertisement: &Advertisement) -> Result<(), DiscoveryError> {
        let host = format!("farfire-{}.local.", self.name.to_ascii_lowercase());
        let addresses: &[IpAddr] = match self.scope {
            Scope::Lan => &[],
            Scope::Loopback => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        };
        let texts = advertisement.texts();
        let service =
            ServiceInfo::new(SERVICE, &self.name, &host, addresses, self.port, &texts[..]);
        let mut service = service.map_err(system)?;
        if self.scope == Scope::Lan {
            service = service.enable_addr_auto();
        }
        service.set_interfaces(vec![self.scope.kind()]);
        // The name has the identity in it: nobody else has it by chance.
        service.set_requires_probe(false);
        let daemon = self.daemon.as_ref().expect("it is not being dropped");
        daemon.0.register(service).map_err(system)
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        // Best effort: without it, the entry goes when its time is over.
        let _ = daemon.0.unregister(&format!("{}.{SERVICE}", self.name));
        // It is said a second time, as a packet may be lost. Without a thread for that, once has to do.
        let farewell = thread::Builder::new().name("farfire-farewell".into());
        let _ = farewell.spawn(move || {
            thread::sleep(FAREWELL);
            drop(daemon);
        });
    }
}

impl fmt::Debug for Advertiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Advertiser")
            .field("name", &self.name)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A server that says it is on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// What it says about itself.
    pub claims: Advertisement,
    /// Where it says that it is: private addresses, at most 16.
    pub addresses: Vec<Address>,
    /// Whether the pin that it claims is among the servers that the player knows.
    ///
    /// Even so anybody can claim it; only a connection proves it. A server that is not known is shown as unverified.
    pub verified: bool,
}

impl Found {
    /// A link with the pin that it claims. Only as good as the way by which that pin is known to be the right one.
    ///
    /// After [`find`] that is the code. For a server from a list of what is there, connect to its address with
    /// [`Trust::known_servers`](crate::tls::Trust::known_servers) instead, which asks.
    pub fn link(&self) -> JoinLink {
        let mut addresses = self.addresses.iter().cloned();
        let first = addresses
            .next()
            .expect("one without addresses is not found");
        JoinLink::new(first, self.claims.pin)
            .also_at(addresses)
            .with_name(&self.claims.name)
    }
}

/// Looks for servers for as long as it is kept; one thread.
pub struct Browser {
    daemon: Daemon,
    events: Receiver<ServiceEvent>,
    known: BTreeSet<Pin>,
    scope: Scope,
    found: BTreeMap<String, Found>,
}

impl Browser {
    /// Begins to look. Servers of which `known` knows the pin now are marked as verified.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError`] where there is nobody to ask, mDNS does not work, or the known servers cannot be read.
    pub fn start(known: Option<&KnownServers>, scope: Scope) -> Result<Self, DiscoveryError> {
        let known = known.map(KnownServers::pins).transpose()?;
        let daemon = scope.daemon()?;
        let events = daemon.0.browse(SERVICE).map_err(system)?;
        Ok(Self {
            daemon,
            events,
            known: known.unwrap_or_default().into_iter().collect(),
            scope,
            found: BTreeMap::new(),
        })
    }

    /// Waits until a server comes, changes or goes.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::System`] if nothing can come any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), DiscoveryError> {
        loop {
            let event = self.events.recv_async().await;
            if self.take(event.map_err(|_| stopped())?) {
                return Ok(());
            }
        }
    }

    /// The servers that are there now, at most 256; does not wait.
    pub fn servers(&mut self) -> Vec<Found> {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        self.found.values().cloned().collect()
    }

    /// Whether anything has changed.
    fn take(&mut self, event: ServiceEvent) -> bool {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let Some(found) = self.read(&service) else {
                    return self.found.remove(&service.fullname).is_some();
                };
                let is_new = !self.found.contains_key(&service.fullname);
                if is_new && self.found.len() == MAX_FOUND {
                    return false;
                }
                let before = self.found.insert(service.fullname.clone(), found);
                before.as_ref() != self.found.get(&service.fullname)
            }
            ServiceEvent::ServiceRemoved(_, name) => self.found.remove(&name).is_some(),
            _ => false,
        }
    }

    fn read(&self, service: &ResolvedService) -> Option<Found> {
        let claims = Advertisement::read(|key| service.get_property_val_str(key))?;
        let port = Some(service.port).filter(|port| *port != 0)?;
        let addresses = service.addresses.iter().map(|address| address.to_ip_addr());
        let addresses = reachable(addresses, port, self.scope);
        (!addresses.is_empty()).then(|| Found {
            verified: self.known.contains(&claims.pin),
            claims,
            addresses,
        })
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser")
            .field("found", &self.found.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.daemon.0.stop_browse(SERVICE);
    }
}

/// Of the addresses that somebody claims those on a network like this; the others are nobody's business here.
fn reachable(claimed: impl IntoIterator<Item = IpAddr>, port: u16, scope: Scope) -> Vec<Address> {
    let fits = |address: &IpAddr| match (scope, address) {
        (Scope::Lan, address) => is_of_lan(*address),
        (Scope::Loopback, address) => address.is_loopback(),
    };
    let addresses = claimed.into_iter().filter(fits).collect::<BTreeSet<_>>();
    let addresses = addresses.into_iter().take(MAX_ADDRESSES);
    addresses
        .map(|ip| Address::from(SocketAddr::new(ip, port)))
        .collect()
}

/// Looks for the server of this code, for as long as `within`, and a moment longer for the rest of its addresses.
///
/// Join it by [`Found::link`].
///
/// # Errors
///
/// [`DiscoveryError::NotFound`] when the time is over, [`DiscoveryError::Ambiguous`] if servers with different keys have
/// this code, which does not happen by chance; else as [`Browser::start`].
///
/// # Cancel safety
///
/// Dropped before it returns, it looks no further.
pub async fn find(code: &Code, within: Duration, scope: Scope) -> Result<Found, DiscoveryError> {
    let mut browser = Browser::start(None, scope)?;
    let mut deadline = Instant::now() + within.min(LONGEST_SEARCH);
    let mut is_found = false;
    loop {
        let changed = timeout_at(deadline, browser.changed()).await;
        let mut matching = browser.servers();
        matching.retain(|found| code.matches(&found.claims.pin));
        match changed {
            Ok(changed) => changed?,
            Err(_) => {
                return match merge(matching)? {
                    Some(found) => Ok(found),
                    None => Err(DiscoveryError::NotFound {
                        code: *code,
                        waited: within,
                    }),
                };
            }
        }
        if !matching.is_empty() && !is_found {
            is_found = true;
            deadline = deadline.min(Instant::now() + SETTLE);
        }
    }
}

/// One server from all that claim its pin: an impostor's addresses are raced with its own, and lose.
fn merge(found: Vec<Found>) -> Result<Option<Found>, DiscoveryError> {
    let pins: BTreeSet<_> = found.iter().map(|found| found.claims.pin).collect();
    if pins.len() > 1 {
        return Err(DiscoveryError::Ambiguous);
    }
    // The first of each, then the second of each: nobody can push the others out by having many.
    let mut addresses = Vec::new();
    for at in 0..MAX_ADDRESSES {
        for address in found.iter().filter_map(|found| found.addresses.get(at)) {
            if addresses.len() < MAX_ADDRESSES && !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
    }
    Ok(found
        .into_iter()
        .next()
        .map(|first| Found { addresses, ..first }))
}

fn system(error: mdns_sd::Error) -> DiscoveryError {
    DiscoveryError::System {
        detail: error.to_string(),
    }
}

fn stopped() -> DiscoveryError {
    DiscoveryError::System {
        detail: "the mDNS thread has ended".into(),
    }
}

const SERVICE: &str = "_farfire._udp.local.";
/// More servers than a room has, and few enough to hold whatever they claim.
const MAX_FOUND: usize = 256;
const MAX_ADDRESSES: usize = 16;
/// The addresses of one server come within this of each other.
const SETTLE: Duration = Duration::from_millis(300);
const LONGEST_SEARCH: Duration = Duration::from_secs(24 * 3600);
/// mdns-sd says a second time that a server is gone 120 ms after the first.
const FAREWELL: Duration = Duration::from_millis(200);
const SHUTDOWN_TRIES: usize = 100;
const SHUTDOWN_PAUSE: Duration = Duration::from_millis(2);

/// Why servers cannot be announced or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// Nobody with this code answered.
    #[error(
        "no server with the code {code} answered within {waited:?}: check that its host is on this network and announces itself, or ask for its link"
    )]
    NotFound {
        /// The code.
        code: Code,
        /// How long was waited.
        waited: Duration,
    },
    /// Servers with different keys have this code.
    #[error("several servers claim this code, which is no accident: ask the host for its link")]
    Ambiguous,
    /// This machine is on no private network.
    #[error("this machine is on no private network: join by link or address instead")]
    NoPrivateNetwork,
    /// The known servers cannot be read.
    #[error(transparent)]
    KnownServers(#[from] KnownServersError),
    /// mDNS does not work here.
    #[error("mDNS does not work here ({detail}): join by link or address instead")]
    System {
        /// What is wrong.
        detail: String,
    },
}

#[cfg(test)]
mod tests;
