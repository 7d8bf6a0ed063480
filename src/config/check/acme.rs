//! Certificates that a CA issues over the network.

use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;

use crate::config::Acme;
use crate::config::ExternalAccount;
use crate::config::Identity;
use crate::config::IdentityOrigin;
use crate::config::Listener;
use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::config::read::quoted;
use crate::config::words::Challenge;
use crate::config::words::Serve;
use crate::secret::Secret;

use super::Checker;

/// CAs give out keys with and without the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Checker<'_> {
    pub(super) fn acme(
        &mut self,
        name: Located<String>,
        written: Located<file::Acme>,
        state: Option<&Located<PathBuf>>,
    ) -> Option<Identity> {
        let Located { value, place } = written;
        let example = "`directory: https://acme-v02.api.letsencrypt.org/directory`";
        let directory = self.require(value.directory, &place, "directory", example);
        if let Some(directory) = directory.as_ref().filter(|directory| !directory.is_https()) {
            let message = "a CA that is asked over plain HTTP could be anybody";
            self.wrong(&directory.place, message, "write an `https://` URL");
        }
        let example = "`names: [hooks.example.com]`";
        let names = self.require(value.names, &place, "names", example);
        if let Some(names) = names.as_ref().filter(|names| names.is_empty())
            && !self.problems.touch(names.place.key())
        {
            let message = "there is no name for the certificate";
            self.wrong(&names.place, message, format!("write {example}"));
        }
        for name in names.iter().flat_map(|names| &names.value) {
            let shown = quoted(&name.value.0);
            if name.value.0.starts_with("*.") {
                let message = format!("no CA issues for {shown} without changes to DNS");
                self.wrong(&name.place, message, "write the names behind it, one by one");
            } else if name.value.0.parse::<IpAddr>().is_ok() {
                let message = format!("{shown} is an address, and a CA is asked for names only");
                self.wrong(&name.place, message, "write a name that leads there");
            }
        }
        if let Some(contact) = value.contact.as_ref().filter(|contact| !is_mail(contact)) {
            let message = format!("{} is no mail address", quoted(contact));
            self.wrong(&contact.place, message, "write `contact: ops@example.com`");
        }
        let external_account = match value.external_account {
            Some(account) => Some(self.external_account(account)?),
            None => None,
        };
        let ca = value.ca.map(|path| self.path(path));
        let acme = Acme {
            directory: directory?,
            names: names?.value.into_iter().map(|name| name.value.0).collect(),
            contact: value.contact.map(|contact| contact.value),
            challenge: value.challenge.map_or(Challenge::TlsAlpn01, |challenge| challenge.value),
            ca,
            external_account,
            files: state?.value.join("acme"),
        };
        Some(Identity { name, origin: IdentityOrigin::Acme(acme) })
    }

    fn external_account(
        &mut self,
        written: Located<file::ExternalAccount>,
    ) -> Option<ExternalAccount> {
        let Located { value, place } = written;
        let key_id = self.require(value.key_id, &place, "key_id", "`key_id: …`, as the CA gave it");
        let key = self.secret(&place, "key", value.key_file, value.key_env)?;
        let text = key.value.expose().trim_ascii();
        // Both alphabets are about.
        let text: Vec<u8> = text
            .iter()
            .map(|byte| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            })
            .collect();
        let Some(bytes) = BASE64.decode(&text).ok().filter(|bytes| !bytes.is_empty()) else {
            let message = "the key of the account is not base64";
            self.wrong(&key.place, message, "put it there as the CA gave it");
            return None;
        };
        Some(ExternalAccount { key_id: key_id?.value, key: Secret::new(bytes) })
    }

    /// What an identity of a CA needs from the listeners; those of `clients` are shown to servers.
    pub(super) fn reachable(
        &mut self,
        identities: &[Identity],
        listeners: &[Listener],
        clients: &[&str],
    ) {
        let answers = listeners.iter().any(|listener| listener.serves.contains(&Serve::Acme));
        let mut asked = false;
        for identity in identities {
            let IdentityOrigin::Acme(acme) = &identity.origin else {
                continue;
            };
            let name = &identity.name;
            let shown = |listener: &Listener| {
                listener.all_identities().any(|shown| shown.value == name.value)
            };
            asked |= acme.challenge == Challenge::Http01;
            let elsewhere =
                acme.challenge == Challenge::Http01 && clients.contains(&name.value.as_str());
            if !listeners.iter().any(shown) && !elsewhere && !self.problems.touch("listeners") {
                let message = format!("no listener shows the identity {}", quoted(name));
                let remedy = if clients.contains(&name.value.as_str()) {
                    format!(
                        "write `identity: {}` at a listener, where the CA looks for `tls-alpn-01`; or use `http-01`",
                        name.value
                    )
                } else {
                    format!("write `identity: {}` at a listener, or remove it", name.value)
                };
                self.wrong(&name.place, message, remedy);
            }
            if acme.challenge == Challenge::Http01 && !answers && !self.problems.touch("listeners")
            {
                let message = "`http-01` needs a listener that answers the CA, and there is none";
                let remedy =
                    "write `- { address: \"0.0.0.0:80\", serve: [acme] }`, or use `tls-alpn-01`";
                self.wrong(&name.place, message, remedy);
            }
        }
        let alone = listeners.iter().find(|listener| {
            listener.serves.contains(&Serve::Acme)
                && (listener.serves.len() > 1 || listener.identity.is_some())
        });
        if let Some(listener) = alone {
            let message = "`acme` is served alone, and without TLS: that is how a CA comes";
            let remedy = "give it a listener of its own, without `identity`";
            self.wrong(&listener.address.place, message, remedy);
        } else if answers && !asked && !self.problems.touch("identities") {
            let place = listeners.iter().find(|listener| listener.serves.contains(&Serve::Acme));
            let place = place.map_or_else(|| Place::of("listeners"), |l| l.address.place.clone());
            let message = "`acme` is served, and no identity says `challenge: http-01`";
            self.wrong(&place, message, "remove the listener, or say so at an identity");
        }
    }
}

fn is_mail(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && !b",?<>".contains(&byte));
    let split = text.split_once('@');
    visible && split.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}
