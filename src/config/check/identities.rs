//! Certificates by name.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::Identity;
use crate::config::IdentityOrigin;
use crate::config::error::Located;
use crate::config::file;
use crate::config::host::Name;
use crate::config::host::covered;
use crate::config::read::Named;
use crate::config::read::quoted;

use super::Checker;
use super::NAME_REMEDY;
use super::is_name;
use super::listeners::Draft;

impl Identity {
    /// Lets a certificate of our own CA be for `host` too. One that others made is what it is.
    pub(super) fn cover(&mut self, host: &str) {
        if let IdentityOrigin::LocalCa { names, .. } = &mut self.origin
            && !covered(host, names)
        {
            names.push(host.to_owned());
        }
    }
}

impl Checker<'_> {
    pub(super) fn identities(
        &mut self,
        written: Option<Named<Located<file::Identity>>>,
        state: Option<&Located<PathBuf>>,
    ) -> Vec<Identity> {
        let written = written.map(|named| named.0).unwrap_or_default();
        written.into_iter().filter_map(|(name, value)| self.identity(name, value, state)).collect()
    }

    fn identity(
        &mut self,
        name: Located<String>,
        written: Located<file::Identity>,
        state: Option<&Located<PathBuf>>,
    ) -> Option<Identity> {
        if !is_name(&name) {
            let message = format!("{} is no name for an identity", quoted(&name));
            self.wrong(&name.place, message, NAME_REMEDY);
        }
        let Located { value, place } = written;
        match (value.local_ca, value.acme, value.files) {
            (Some(local_ca), None, None) => self.local_ca(name, local_ca, state),
            (None, Some(acme), None) => self.acme(name, acme, state),
            (None, None, Some(files)) => self.files(name, files),
            (Some(_), _, Some(Located { place, .. }))
            | (Some(_), Some(Located { place, .. }), None)
            | (None, Some(_), Some(Located { place, .. })) => {
                let message = "an identity is one of `local_ca`, `acme` and `files`, and this is another, too";
                self.wrong(&place, message, "keep one of them");
                None
            }
            (None, None, None) => {
                if !self.problems.touch(place.key()) {
                    let message =
                        format!("nothing says where the identity {} comes from", quoted(&name));
                    let remedy = "write `local_ca: { names: [localhost] }` or `files: { certificate: tls.crt, key: tls.key }`";
                    self.wrong(&place, message, remedy);
                }
                None
            }
        }
    }

    fn local_ca(
        &mut self,
        name: Located<String>,
        written: Located<file::LocalCa>,
        state: Option<&Located<PathBuf>>,
    ) -> Option<Identity> {
        if name.value == "ca" {
            let message =
                "an identity of a local CA cannot be called `ca`: its files are the CA's own";
            self.wrong(&name.place, message, "use another name");
        }
        let Located { value, place } = written;
        let example = "`names: [registry.example.com]`";
        let names = self.require(value.names, &place, "names", example);
        if let Some(names) = names.as_ref().filter(|names| names.is_empty())
            && !self.problems.touch(names.place.key())
        {
            self.wrong(
                &names.place,
                "there is no name for the certificate",
                format!("write {example}"),
            );
        }
        let directory = match (value.directory, state) {
            (Some(path), _) => self.path(path),
            (None, state) => default_directory(state?),
        };
        let names = names?;
        let names = names.value.into_iter().map(|name| name.value.0).collect();
        let origin = IdentityOrigin::LocalCa { names, directory };
        Some(Identity { name, origin })
    }

    fn files(&mut self, name: Located<String>, written: Located<file::Files>) -> Option<Identity> {
        let Located { value, place } = written;
        let certificate =
            self.require(value.certificate, &place, "certificate", "`certificate: tls.crt`");
        let key = self.require(value.key, &place, "key", "`key: tls.key`");
        let (certificate, key) = (self.path(certificate?), self.path(key?));
        let origin = IdentityOrigin::Files { certificate, key };
        Some(Identity { name, origin })
    }

    /// Makes up the identity of a listener that nobody wrote.
    pub(super) fn default_identity(
        &mut self,
        mut identities: Vec<Identity>,
        drafts: &[Draft],
        name: &Option<Located<Name>>,
        state: Option<&Located<PathBuf>>,
    ) -> Vec<Identity> {
        let Some(draft) = drafts.iter().find(|draft| draft.is_default && draft.serves_registry())
        else {
            return identities;
        };
        let (Some(wanted), Some(state)) = (&draft.identity, state) else {
            return identities;
        };
        let there = identities.iter().any(|identity| identity.name.value == wanted.value);
        if there || self.problems.touch(&format!("identities.{}", wanted.value)) {
            return identities;
        }
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let listening =
            draft.ip().filter(|ip| !ip.is_unspecified()).map(|ip: IpAddr| ip.to_string());
        let named = name.as_ref().map(|name| name.host().to_owned());
        for name in listening.into_iter().chain(named) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let origin = IdentityOrigin::LocalCa { names, directory: default_directory(state) };
        let identity = Identity { name: wanted.clone(), origin };
        identities.push(identity);
        identities
    }
}

/// Beside the rest of the state, and as wrong or right as that is.
fn default_directory(state: &Located<PathBuf>) -> Located<PathBuf> {
    Located::new(state.value.join("certs"), state.place.clone())
}
