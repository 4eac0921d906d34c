//! The addresses of this machine, those first that somebody in the same room can reach.
//!
//! Knows nothing about who listens on them.

use std::{io, net::IpAddr};

/// One address of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// What the system calls the interface, such as `eth0`.
    pub name: String,
    /// Its address; without a zone.
    pub address: IpAddr,
    /// What it seems to be for.
    pub kind: InterfaceKind,
}

/// What an interface seems to be for, going by its address and name; in the order in which they are worth trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InterfaceKind {
    /// A local network: a private address on what is not known to be virtual.
    Lan,
    /// A public address.
    Public,
    /// A bridge of containers or virtual machines, or a tunnel: others may be unable to reach it.
    Virtual,
    /// This machine alone.
    Loopback,
}

/// Lists the addresses of this machine, in the order in which they are worth trying.
///
/// Link-local IPv6 addresses are left out: they mean nothing without a zone, which differs between machines.
///
/// # Errors
///
/// If the system does not tell.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let found = if_addrs::get_if_addrs()?;
    let found = found
        .into_iter()
        .filter(|interface| !is_unusable(interface.ip()));
    let mut found: Vec<_> = found
        .map(|interface| Interface {
            address: interface.ip(),
            kind: kind(&interface.name, interface.ip()),
            name: interface.name,
        })
        .collect();
    found.sort_by_key(|interface| (interface.kind, interface.address.is_ipv6()));
    Ok(found)
}

/// Whether an address is of a network that is nobody else's: private, link-local or loopback.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

fn is_unusable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local(),
    }
}

fn kind(name: &str, address: IpAddr) -> InterfaceKind {
    let name = name.to_ascii_lowercase();
    if address.is_loopback() {
        InterfaceKind::Loopback
    } else if VIRTUAL.iter().any(|part| name.starts_with(part)) || name.contains("virtual") {
        InterfaceKind::Virtual
    } else if is_private(address) {
        InterfaceKind::Lan
    } else {
        InterfaceKind::Public
    }
}

/// How names of interfaces begin that lead to containers, virtual machines or tunnels.
const VIRTUAL: &[&str] = &[
    "br-",
    "bridge",
    "cali",
    "cni",
    "docker",
    "flannel",
    "podman",
    "ppp",
    "tailscale",
    "tap",
    "tun",
    "utun",
    "vbox",
    "veth",
    "vethernet",
    "virbr",
    "vmnet",
    "vmware",
    "wg",
    "zt",
    "lxc",
    "lxd",
    "incus",
    "hyper-v",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_room_can_reach_comes_first() {
        let kinds = [
            ("eth0", "192.168.1.7", InterfaceKind::Lan),
            ("wlan0", "fd00::7", InterfaceKind::Lan),
            ("eth0", "203.0.113.7", InterfaceKind::Public),
            ("eth0", "2001:db8::7", InterfaceKind::Public),
            ("docker0", "172.17.0.1", InterfaceKind::Virtual),
            ("br-0a1b2c", "172.18.0.1", InterfaceKind::Virtual),
            ("br0", "192.168.1.7", InterfaceKind::Lan),
            ("vEthernet (WSL)", "172.20.0.1", InterfaceKind::Virtual),
            (
                "VirtualBox Host-Only Network",
                "192.168.56.1",
                InterfaceKind::Virtual,
            ),
            ("wg0", "10.8.0.2", InterfaceKind::Virtual),
            ("lo", "127.0.0.1", InterfaceKind::Loopback),
        ];
        for (name, address, expected) in kinds {
            assert_eq!(kind(name, address.parse().unwrap()), expected, "{name}");
        }
        assert!(InterfaceKind::Lan < InterfaceKind::Virtual);
        assert!(InterfaceKind::Virtual < InterfaceKind::Loopback);
    }

    #[test]
    fn addresses_of_others_are_not_private() {
        for address in ["203.0.113.7", "2001:db8::7", "::ffff:8.8.8.8", "172.32.0.1"] {
            assert!(!is_private(address.parse().unwrap()), "{address}");
        }
        for address in [
            "10.0.0.1",
            "172.31.0.1",
            "169.254.1.1",
            "fe80::1",
            "fd00::1",
            "::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn this_machine_has_addresses_in_order() {
        let all = interfaces().unwrap();
        assert!(all.iter().any(|interface| interface.address.is_loopback()));
        assert!(all.is_sorted_by_key(|interface| interface.kind));
    }
}
