//! What a host shows to those who want to join: link, QR code, typed code, addresses.
//!
//! Knows nothing of players.

use farfire::{
    PlaytestServer,
    lan::{Interface, InterfaceKind, JoinLink},
};

use super::Options;
use crate::{
    json::Record,
    paint::{BOLD, DIM, GREEN, Paint, YELLOW, printable},
    qr,
};

/// Everything that somebody needs to join.
pub(super) struct Invitation<'a> {
    pub(super) link: JoinLink,
    server: &'a PlaytestServer,
    options: &'a Options,
    port: u16,
    interfaces: Vec<Interface>,
}

impl<'a> Invitation<'a> {
    pub(super) fn of(server: &'a PlaytestServer, options: &'a Options) -> Self {
        Self {
            link: server.link(),
            server,
            options,
            port: server.local_addr().port(),
            interfaces: server.interfaces(),
        }
    }

    /// For people: the code to scan above, what to send and to type below.
    pub(super) fn screen(&self, paint: Paint, with_qr: bool) -> String {
        let link = self.link.to_string();
        let name = printable(&self.options.name);
        let mut lines = vec![format!(
            "{} is open for {} players on UDP port {}.",
            paint.paint(BOLD, &name),
            self.options.max_players,
            self.port,
        )];
        if let Some(taken) = self.server.port_taken() {
            let note = format!("Port {taken} was taken; this is the next free one.");
            lines.push(paint.paint(YELLOW, &note));
        }
        lines.push(String::new());
        if with_qr && let Some(code) = qr::for_terminal(&link, paint) {
            lines.extend([code, String::new()]);
        }
        let label = |text: &str| paint.paint(DIM, &format!("{text:9}"));
        lines.push(format!("{}  {}", label("link"), paint.paint(GREEN, &link)));
        let code = paint.paint(BOLD, &self.server.code().to_string());
        let use_of_code = match (self.options.token, self.is_announced()) {
            (true, _) => "to compare; joining takes the link",
            (false, true) => "to type in the same room, and to compare",
            (false, false) => "to compare; joining takes the link or an address",
        };
        lines.push(format!("{}  {code}  {use_of_code}", label("code")));
        let width = self
            .interfaces
            .iter()
            .map(|of| of.name.len())
            .max()
            .unwrap_or(0);
        for (at, interface) in self.interfaces.iter().enumerate() {
            let label = label(if at == 0 { "addresses" } else { "" });
            let (name, address) = (&interface.name, self.address(interface));
            let kind = kind(interface.kind);
            lines.push(format!("{label}  {name:width$}  {address}{kind}"));
        }
        for note in self.notes() {
            lines.push(paint.paint(YELLOW, &format!("note: {note}")));
        }
        lines.push(String::new());
        lines.push("Waiting for players; `help` lists what you can type here.".into());
        lines.join("\n")
    }

    /// For programs.
    pub(super) fn record(&self) -> String {
        let addresses = self.interfaces.iter();
        let addresses = addresses.map(|of| format!("{} {}", of.name, self.address(of)));
        Record::new("host")
            .plain("pid", std::process::id())
            .text("name", &self.options.name)
            .plain("port", self.port)
            .plain("max_players", self.options.max_players)
            .text("link", &self.link.to_string())
            .text("code", &self.server.code().to_string())
            .text("pin", &self.server.pin().to_string())
            .plain("needs_token", self.options.token)
            .plain("announced", self.is_announced())
            .texts("addresses", addresses)
            .texts("notes", self.notes())
            .finish()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(why) = self.server.not_advertised()
            && !self.options.no_discovery
        {
            notes.push(format!(
                "`farfire discover` does not list this server, and codes find nothing: {why}"
            ));
        }
        let is_public = self
            .interfaces
            .iter()
            .any(|of| of.kind == InterfaceKind::Public);
        if is_public && !self.options.token {
            notes.push("this machine has a public address, so anybody may come in: --token asks for the link".into());
        }
        notes
    }

    fn is_announced(&self) -> bool {
        !self.options.no_discovery && self.server.not_advertised().is_none()
    }

    fn address(&self, interface: &Interface) -> String {
        std::net::SocketAddr::new(interface.address, self.port).to_string()
    }
}

fn kind(kind: InterfaceKind) -> &'static str {
    match kind {
        InterfaceKind::Public => "  public",
        InterfaceKind::Virtual => "  virtual: others may not reach it",
        InterfaceKind::Loopback => "  this machine alone",
        _ => "",
    }
}
