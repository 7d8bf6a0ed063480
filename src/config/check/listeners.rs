//! Where we listen, and what for.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use crate::config::Identity;
use crate::config::Listener;
use crate::config::address::Address;
use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::config::host::Name;
use crate::config::read::quoted;
use crate::config::words::Serve;
use crate::listener::Network;

use super::Checker;

/// The port of the registry, where nothing is said.
const REGISTRY_PORT: u16 = 5443;

/// The port of admin, where nothing is said.
const ADMIN_PORT: u16 = 9443;

/// A listener whose identity is not looked up yet.
pub(super) struct Draft {
    pub(super) address: Located<Address>,
    serves: Vec<Serve>,
    pub(super) identity: Option<Located<String>>,
    further_identities: Vec<Located<String>>,
    trusted_proxies: Vec<Network>,
    proxy_protocol: bool,
    /// Nobody wrote it.
    pub(super) is_default: bool,
}

impl Draft {
    fn default(port: u16, serves: Serve, identity: Option<&str>) -> Self {
        let address = Address::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        Self {
            address: Located::new(address, Place::of("listeners")),
            serves: vec![serves],
            identity: identity.map(|name| Located::new(name.to_owned(), Place::of("listeners"))),
            further_identities: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            is_default: true,
        }
    }

    pub(super) fn serves_registry(&self) -> bool {
        self.serves.contains(&Serve::Registry)
    }

    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self.address.value {
            Address::Tcp(address) => Some(address.ip().to_canonical()),
            Address::Unix(_) => None,
        }
    }

    pub(super) fn port(&self) -> Option<u16> {
        match self.address.value {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// What clients can type to get here; nothing for all addresses at once, and for a socket.
    pub(super) fn default_name(&self) -> Option<Name> {
        match self.ip()? {
            ip if ip.is_loopback() => Some(Name::new("localhost", self.port())),
            ip if ip.is_unspecified() => None,
            ip => Some(Name::new(&ip.to_string(), self.port())),
        }
    }
}

impl Checker<'_> {
    /// The listeners as written, or the usual two, after the command line had its say.
    pub(super) fn listeners(
        &mut self,
        written: Option<Located<Vec<Located<file::Listener>>>>,
    ) -> Vec<Draft> {
        let mut drafts = match written {
            Some(written) => self.written(written),
            None if self.problems.touch("listeners") => Vec::new(),
            None => vec![
                Draft::default(REGISTRY_PORT, Serve::Registry, Some("registry")),
                Draft::default(ADMIN_PORT, Serve::Admin, None),
            ],
        };
        let listen = self.option("--listen", "listeners", self.overrides.listen.as_deref());
        if let Some(address) = listen {
            match drafts.iter_mut().find(|draft| draft.serves_registry()) {
                Some(draft) => draft.address = self.local(address),
                None => drafts.push(Draft {
                    address: self.local(address),
                    ..Draft::default(REGISTRY_PORT, Serve::Registry, Some("registry"))
                }),
            }
        }
        let admin = self.option("--admin", "listeners", self.overrides.admin.as_deref());
        if let Some(address) = admin {
            match drafts.iter_mut().find(|draft| draft.serves == [Serve::Admin]) {
                Some(draft) => draft.address = self.local(address),
                None => drafts.push(Draft {
                    address: self.local(address),
                    ..Draft::default(ADMIN_PORT, Serve::Admin, None)
                }),
            }
        }
        self.twice(&drafts);
        drafts
    }

    fn written(&mut self, written: Located<Vec<Located<file::Listener>>>) -> Vec<Draft> {
        let Located { value, place } = written;
        let drafts: Vec<Draft> =
            value.into_iter().filter_map(|listener| self.draft(listener)).collect();
        let typed = self.overrides.listen.is_some();
        if !typed && !drafts.iter().any(Draft::serves_registry) && !self.problems.touch(place.key())
        {
            let remedy =
                "write `- { address: \"127.0.0.1:5443\", serve: [registry], identity: registry }`";
            self.wrong(&place, "no listener serves the registry", remedy);
        }
        drafts
    }

    fn draft(&mut self, listener: Located<file::Listener>) -> Option<Draft> {
        let Located { value, place } = listener;
        let address =
            self.require(value.address, &place, "address", "`address: \"127.0.0.1:5443\"`");
        let serves = self.require(value.serve, &place, "serve", "`serve: [registry]`");
        if let Some(serves) = serves.as_ref().filter(|serves| serves.is_empty())
            && !self.problems.touch(serves.place.key())
        {
            self.wrong(&serves.place, "nothing is served here", "write `serve: [registry]`");
        }
        let serves: Vec<Serve> = serves?.value.into_iter().map(|serve| serve.value).collect();
        let trusted = value.trusted_proxies.unwrap_or_default();
        let proxy_protocol = value.proxy_protocol.filter(|said| said.value);
        if let Some(said) = &proxy_protocol
            && !serves.contains(&Serve::Registry)
            && !serves.contains(&Serve::Hooks)
        {
            let message = "`pushbell health` could not ask a listener for operators that waits for PROXY headers";
            self.wrong(
                &said.place,
                message,
                "remove the key here; it is for `serve: [registry]` and `serve: [hooks]`",
            );
        }
        let mut identities = value.identity.map(|identities| identities.0).unwrap_or_default();
        let identity = (!identities.is_empty()).then(|| identities.remove(0));
        Some(Draft {
            address: self.local(address?),
            serves,
            identity,
            further_identities: identities,
            trusted_proxies: trusted.into_iter().map(|network| network.value).collect(),
            proxy_protocol: proxy_protocol.is_some(),
            is_default: false,
        })
    }

    /// A socket's path starts where the file is.
    fn local(&self, address: Located<Address>) -> Located<Address> {
        let typed = address.place.file().is_none();
        address.map(|address| match address {
            Address::Unix(path) if typed => Address::Unix(self.environment.directory.join(path)),
            Address::Unix(path) => Address::Unix(self.resolve(&path)),
            tcp => tcp,
        })
    }

    fn twice(&mut self, drafts: &[Draft]) {
        for (index, draft) in drafts.iter().enumerate() {
            let before = drafts.iter().take(index);
            let same = |other: &&Draft| other.address.value == draft.address.value;
            if draft.port() != Some(0)
                && let Some(first) = before.into_iter().find(same)
            {
                let message = format!(
                    "{} is listened on already, at {}",
                    quoted(&draft.address.to_string()),
                    first.address.place
                );
                let remedy =
                    "use another port, or let one listener serve both: `serve: [registry, admin]`";
                self.wrong(&draft.address.place, message, remedy);
            }
        }
    }

    /// Looks the identities up, and sees to it that clients find the name they type in them.
    pub(super) fn identified(
        &mut self,
        drafts: Vec<Draft>,
        identities: &mut [Identity],
        name: Option<&Located<Name>>,
    ) -> Vec<Listener> {
        for draft in &drafts {
            for further in &draft.further_identities {
                self.known_identity(further, identities);
            }
            match &draft.identity {
                None => self.plain(draft),
                Some(wanted) => {
                    // The default identity is missing only where something else was reported.
                    if !draft.is_default {
                        self.known_identity(wanted, identities);
                    }
                    let known = identities.iter_mut().find(|i| i.name.value == wanted.value);
                    if let (Some(identity), Some(name), true) =
                        (known, name, draft.serves_registry())
                    {
                        identity.cover(name.host());
                    }
                }
            }
        }
        let listener = |draft: Draft| Listener {
            address: draft.address,
            serves: draft.serves,
            identity: draft.identity,
            further_identities: draft.further_identities,
            trusted_proxies: draft.trusted_proxies,
            proxy_protocol: draft.proxy_protocol,
        };
        drafts.into_iter().map(listener).collect()
    }

    fn plain(&mut self, draft: &Draft) {
        // Its answers are for everybody, and no secret comes there.
        if draft.address.is_local() || draft.serves == [Serve::Acme] {
            return;
        }
        let address = quoted(&draft.address.to_string());
        let message = format!("plain HTTP at {address} would show every password on the network");
        let remedy = "write `identity: …`, or listen on `127.0.0.1`, `[::1]` or `unix:/path`";
        self.wrong(&draft.address.place, message, remedy);
    }
}
