//! Ports, interfaces and multicast, as any system shows them.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use farfire::lan::{self, Interface, InterfaceKind};

use super::finding::Finding;

/// Whether the port is free.
pub(super) fn port(port: u16) -> Finding {
    const WHAT: &str = "port";
    let bind = |ip: IpAddr| UdpSocket::bind(SocketAddr::new(ip, port)).map(drop);
    let (v4, v6) = (
        bind(Ipv4Addr::UNSPECIFIED.into()),
        bind(Ipv6Addr::UNSPECIFIED.into()),
    );
    let taken = |result: &io::Result<()>| {
        let error = result.as_ref().err();
        error.is_some_and(|error| error.kind() == ErrorKind::AddrInUse)
    };
    let denied = |result: &io::Result<()>| {
        let error = result.as_ref().err();
        error.is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    if taken(&v4) || taken(&v6) {
        let finding = Finding::note(
            WHAT,
            format!("UDP port {port} is taken, maybe by a host that runs"),
        );
        return finding
            .remedy("`farfire host` takes the next free port, or `farfire host --port 0` any");
    }
    if denied(&v4) || denied(&v6) {
        let finding = Finding::problem(WHAT, format!("this user may not use UDP port {port}"));
        return finding.remedy("a port from 1024 up: `farfire host --port 4433`");
    }
    match (v4, v6) {
        (Ok(()), Ok(())) => {
            Finding::fine(WHAT, format!("UDP port {port} is free, for IPv4 and IPv6"))
        }
        (Ok(()), Err(_)) => Finding::fine(
            WHAT,
            format!("UDP port {port} is free; this machine has no IPv6"),
        ),
        (Err(_), Ok(())) => Finding::note(WHAT, format!("UDP port {port} is free, for IPv6 alone")),
        (Err(error), Err(_)) => {
            Finding::problem(WHAT, format!("UDP port {port} cannot be used: {error}"))
                .remedy("another port: `farfire host --port 0`")
        }
    }
}

/// Which addresses others can reach.
pub(super) fn interfaces() -> Vec<Finding> {
    match lan::interfaces() {
        Ok(interfaces) => vec![judge(&interfaces)],
        Err(error) => vec![Finding::problem(
            INTERFACES,
            format!("the system does not list its addresses: {error}"),
        )],
    }
}

fn judge(interfaces: &[Interface]) -> Finding {
    let of = |kind| {
        let of_kind = interfaces.iter().filter(move |of| of.kind == kind);
        let texts: Vec<_> = of_kind
            .map(|of| format!("{} {}", of.name, of.address))
            .collect();
        texts.join(", ")
    };
    let (local, public) = (of(InterfaceKind::Lan), of(InterfaceKind::Public));
    let virtual_ones = of(InterfaceKind::Virtual);
    if !local.is_empty() {
        let found = match public.is_empty() {
            true => local,
            false => format!("{local}; public: {public}"),
        };
        return Finding::fine(INTERFACES, found);
    }
    if !public.is_empty() {
        let finding = Finding::note(INTERFACES, format!("only public addresses: {public}"));
        return finding.remedy(
            "play behind a router, or keep the link secret: anybody can reach this machine",
        );
    }
    let finding = match virtual_ones.is_empty() {
        true => Finding::problem(INTERFACES, "no address that another machine can reach"),
        false => Finding::problem(
            INTERFACES,
            format!("only virtual ones, which others may not reach: {virtual_ones}"),
        ),
    };
    finding.remedy("connect this machine to the network by cable or radio")
}

/// Whether multicast, by which servers are found, comes back to this machine.
pub(super) fn multicast() -> Finding {
    const WHAT: &str = "multicast";
    let interfaces = lan::interfaces().unwrap_or_default();
    let usable = |of: &&Interface| matches!(of.kind, InterfaceKind::Lan | InterfaceKind::Public);
    let found = interfaces
        .iter()
        .filter(usable)
        .find_map(|of| match of.address {
            IpAddr::V4(address) => Some((of.name.as_str(), address)),
            IpAddr::V6(_) => None,
        });
    let Some((name, address)) = found else {
        let finding = Finding::note(WHAT, "no IPv4 network on which servers could be found");
        return finding.remedy("`farfire join` with the link or an address works without it");
    };
    match echo(address) {
        Ok(()) => Finding::fine(
            WHAT,
            format!(
                "works on {name}, as far as this machine: routers and guest networks may stop it"
            ),
        ),
        Err(error) => Finding::note(WHAT, format!("does not work on {name}: {error}"))
            .remedy("`farfire join` with the link or an address works without it"),
    }
}

/// Sends itself a packet by the group that discovery uses. With a time to live of 0 it never leaves the machine.
fn echo(interface: Ipv4Addr) -> io::Result<()> {
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    receiver.join_multicast_v4(&GROUP, &interface)?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    // Bound to the address, it sends through the interface.
    let sender = UdpSocket::bind((interface, 0))?;
    sender.set_multicast_ttl_v4(0)?;
    sender.set_multicast_loop_v4(true)?;
    sender.send_to(QUESTION, (GROUP, receiver.local_addr()?.port()))?;
    let mut buffer = [0; 64];
    loop {
        let (length, from) = receiver.recv_from(&mut buffer)?;
        if buffer.get(..length) == Some(QUESTION) && from == sender.local_addr()? {
            return Ok(());
        }
    }
}

const INTERFACES: &str = "interfaces";
/// The group of mDNS.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const QUESTION: &[u8] = b"farfire doctor";
const PATIENCE: Duration = Duration::from_secs(1);
