//! Links as hosts write them, and as chats, eyes and strangers damage them.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

fn pin() -> String {
    "K7QF2MXA".repeat(6) + "K7Q0"
}

fn parse(text: &str) -> Result<JoinLink, LinkError> {
    text.parse()
}

#[test]
fn a_link_is_read_and_written() {
    let (pin, token) = (pin(), "8H3".repeat(8) + "80");
    let text = format!(
        "farfire://192.168.1.7:4433/desert-duel?a=[fe80::1c2:33ff]:4433,10.0.0.5:4433#p={pin}&t={token}"
    );
    let link = parse(&text).unwrap();
    assert_eq!(link.to_string(), text);
    assert_eq!(link.name(), Some("desert-duel"));
    let addresses: Vec<_> = link.addresses().iter().map(Address::to_string).collect();
    assert_eq!(
        addresses,
        ["192.168.1.7:4433", "[fe80::1c2:33ff]:4433", "10.0.0.5:4433"]
    );
    assert_eq!(link.pin().to_string(), pin);
    assert_eq!(link.token().unwrap().to_string(), token);
    let plain = parse(&format!("farfire://desk.local:4433#p={pin}")).unwrap();
    assert_eq!(
        plain.to_string(),
        format!("farfire://desk.local:4433#p={pin}")
    );
    assert_eq!((plain.name(), plain.token()), (None, None));
}

#[test]
fn what_a_chat_does_to_a_link_is_forgiven() {
    let pin = pin();
    let link = parse(&format!("farfire://10.0.0.5:4433/a%20b#p={pin}")).unwrap();
    assert_eq!(link.name(), Some("a b"));
    for text in [
        format!("  farfire://10.0.0.5:4433/a%20b#p={pin}\r\n"),
        format!("FARFIRE://10.0.0.5:4433/a b#p={}", pin.to_lowercase()),
        format!("farfire://10.0.0.5:4433/a%20b?later=1&a=#later=2&p={pin}&&x"),
        format!("farfire://10.0.0.5:4433/a%20b?a=10.0.0.5:4433,#p={pin}"),
    ] {
        assert_eq!(parse(&text), Ok(link.clone()), "{text}");
    }
}

#[test]
fn each_kind_of_damage_is_named() {
    let pin = pin();
    let error = |text: &str| parse(text).unwrap_err();
    let with = |rest: &str| error(&format!("farfire://10.0.0.5:4433{rest}"));
    assert_eq!(error(""), LinkError::Scheme);
    assert_eq!(
        error(&format!("https://10.0.0.5:4433#p={pin}")),
        LinkError::Scheme
    );
    assert_eq!(
        error("farfire:/\u{e9}\u{e9}\u{e9}\u{e9}"),
        LinkError::Scheme
    );
    let long = format!("farfire://10.0.0.5:4433/{}#p={pin}", "a".repeat(2048));
    assert_eq!(error(&long), LinkError::TooLong { bytes: long.len() });
    assert!(matches!(
        error(&format!("farfire://10.0.0.5#p={pin}")),
        LinkError::Address {
            source: AddressError::Port,
            ..
        }
    ));
    assert!(matches!(
        with(&format!("?a=10.0.0.6#p={pin}")),
        LinkError::Address { address, source: AddressError::Port } if address == "10.0.0.6"
    ));
    assert!(matches!(
        error(&format!("farfire://[fe80::1%25eth0]:4433#p={pin}")),
        LinkError::Address {
            source: AddressError::Zone,
            ..
        }
    ));
    let many: Vec<_> = (1..=17).map(|last| format!("10.0.1.{last}:4433")).collect();
    assert_eq!(
        with(&format!("?a={}#p={pin}", many.join(","))),
        LinkError::TooManyAddresses
    );
    assert!(
        parse(&format!(
            "farfire://10.0.0.5:4433?a={}#p={pin}",
            many[1..].join(",")
        ))
        .is_ok()
    );
    for name in ["%", "%4", "%zz", "%ff", "a%0Ab", "%1b", &"a".repeat(65)] {
        assert_eq!(with(&format!("/{name}#p={pin}")), LinkError::Name, "{name}");
    }
    for rest in ["", "/name", "#", "#p=", "#t=00", &format!("?p={pin}")] {
        assert_eq!(with(rest), LinkError::NoPin, "{rest}");
    }
    assert_eq!(
        with(&format!("#p={}", &pin[..51])),
        LinkError::Pin(PinError::Length { found: 51 })
    );
    assert_eq!(
        with(&format!("#p=k12:{pin}")),
        LinkError::PinAlgorithm {
            algorithm: "k12".into()
        }
    );
    assert_eq!(
        with(&format!("#p={pin}&t=00")),
        LinkError::Token(TokenError::Length { found: 2 })
    );
    assert_eq!(
        with(&format!("#p={pin}&p={pin}")),
        LinkError::Twice { parameter: "p" }
    );
    assert_eq!(
        with(&format!("?a=&a=#p={pin}")),
        LinkError::Twice { parameter: "a" }
    );
}

#[test]
fn what_a_stranger_wrote_is_not_shown_at_length() {
    let host = "x".repeat(1500);
    let shown = parse(&format!("farfire://{host}#p=0"))
        .unwrap_err()
        .to_string();
    assert!(shown.len() < 300, "{shown}");
    let shown = parse(&format!("farfire://a:1#p={host}:0"))
        .unwrap_err()
        .to_string();
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn a_link_keeps_what_can_be_read_back() {
    let first: Address = "10.0.0.1:1".parse().unwrap();
    let all = (1..100).map(|port| Address::from(SocketAddr::from(([10, 0, 0, 1], port))));
    let link = JoinLink::new(first, Pin::from_bytes([0; 32]))
        .also_at(all)
        .with_name(&"a\n\u{1f525}".repeat(100));
    assert_eq!(link.addresses().len(), 17);
    assert_eq!(link.name().map(|name| name.chars().count()), Some(64));
    assert_eq!(parse(&link.to_string()), Ok(link));
}

#[test]
fn the_token_is_not_in_debug() {
    let token = JoinToken::from_bytes([7; 16]);
    let link =
        JoinLink::new("a:1".parse().unwrap(), Pin::from_bytes([0; 32])).with_token(token.clone());
    assert!(link.to_string().contains(&token.to_string()));
    assert!(!format!("{link:?}").contains(&token.to_string()));
}

fn any_link() -> impl Strategy<Value = JoinLink> {
    let address = any::<SocketAddr>().prop_filter("a port", |address| address.port() != 0);
    let addresses = proptest::collection::vec(address, 1..20);
    let token = proptest::option::of(any::<[u8; 16]>());
    (addresses, any::<String>(), any::<[u8; 32]>(), token).prop_map(
        |(addresses, name, pin, token)| {
            let mut addresses = addresses.into_iter().map(Address::from);
            let first = addresses.next().expect("there is one");
            let link = JoinLink::new(first, Pin::from_bytes(pin))
                .also_at(addresses)
                .with_name(&name);
            match token {
                Some(token) => link.with_token(JoinToken::from_bytes(token)),
                None => link,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_link_survives_its_text(link in any_link()) {
        let text = link.to_string();
        prop_assert!(text.is_ascii() && !text.contains(' '), "{}", text);
        prop_assert_eq!(parse(&text), Ok(link));
    }

    #[test]
    fn a_link_cut_short_is_refused_or_has_the_same_pin(link in any_link(), cut: prop::sample::Index) {
        let text = link.to_string();
        if let Ok(read) = parse(&text[..cut.index(text.len())]) {
            // Only the token can have been cut off.
            prop_assert_eq!(read.pin(), link.pin());
            prop_assert_eq!(read.token(), None);
        }
    }

    #[test]
    fn no_text_panics(text in "(farfire://)?[a-c0-9:/?#&=%,.\\[\\]pt\u{e9}]{0,80}|.*") {
        crate::fuzzing::link(text.as_bytes());
    }
}
