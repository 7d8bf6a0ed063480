//! How a receiver knows that an attempt is ours: each scheme with what it needs, and nothing else.

use http::HeaderName;

use crate::config::Identity;
use crate::config::Sign;
use crate::config::Tls;
use crate::config::error::Located;
use crate::config::error::Place;
use crate::config::file;
use crate::config::read::quoted;
use crate::delivery::may_be_set;
use crate::delivery::sign::Algorithm;
use crate::delivery::sign::Means;
use crate::delivery::sign::Scheme;
use crate::secret::Secret;

use super::Checker;

impl Sign {
    /// With a secret, and nothing else said.
    pub(super) fn of(scheme: Scheme, secret: Located<Secret>) -> Self {
        Self {
            scheme,
            place: secret.place.clone(),
            secret: Some(secret),
            username: None,
            algorithm: Algorithm::default(),
            header: None,
            parameter: None,
            token_file: None,
            identity: None,
        }
    }
}

impl Checker<'_> {
    pub(super) fn sign(
        &mut self,
        sign: Located<file::Sign>,
        tls: &Tls,
        identities: &[Identity],
    ) -> Option<Sign> {
        let Located { value, place } = sign;
        let read = value.scheme.is_some() || !self.problems.touch(place.below("scheme").key());
        let scheme = value.scheme.map_or(Scheme::StandardWebhooks, |scheme| scheme.value);
        if !read {
            return None;
        }
        let is = |wanted| scheme == wanted;
        self.unused(scheme, is(Scheme::Basic), value.username.as_ref(), "username");
        self.unused(scheme, is(Scheme::FluxHmac), value.algorithm.as_ref(), "algorithm");
        self.unused(scheme, scheme.header_may_be_chosen(), value.header.as_ref(), "header");
        self.unused(scheme, is(Scheme::QuerySecret), value.parameter.as_ref(), "parameter");
        self.unused(scheme, is(Scheme::Oidc), value.token_file.as_ref(), "token_file");
        let by_identity = is(Scheme::HttpMessageSignatures);
        self.unused(scheme, by_identity, value.identity.as_ref(), "identity");
        let secret = if scheme.means() == Means::Secret {
            Some(self.secret(&place, "secret", value.secret_file, value.secret_env)?)
        } else {
            self.unused(scheme, false, value.secret_file.as_ref(), "secret_file");
            self.unused(scheme, false, value.secret_env.as_ref(), "secret_env");
            None
        };
        let username = match (is(Scheme::Basic), value.username) {
            (true, name) => Some(self.username(name, &place)?),
            (false, _) => None,
        };
        let token_file = match (is(Scheme::Oidc), value.token_file) {
            (true, file) => {
                let example = "`token_file: /var/run/secrets/tokens/build`";
                let file = self.require(file, &place, "token_file", example)?;
                Some(self.path(file))
            }
            (false, _) => None,
        };
        let identity = match (by_identity, value.identity) {
            (true, named) => Some(self.signing_identity(named, tls, &place, identities)?),
            (false, _) => None,
        };
        Some(Sign {
            scheme,
            secret,
            username,
            algorithm: value.algorithm.map_or(Algorithm::default(), |algorithm| algorithm.value),
            header: match value.header {
                Some(header) => Some(self.signing_header(&header)?),
                None => None,
            },
            parameter: match value.parameter {
                Some(parameter) => Some(self.parameter(parameter)?),
                None => None,
            },
            token_file,
            identity,
            place,
        })
    }

    /// Reports a key that the scheme has no use for: whoever wrote it expects something of it.
    fn unused<T>(&mut self, scheme: Scheme, of_use: bool, value: Option<&Located<T>>, key: &str) {
        if let Some(value) = value.filter(|_| !of_use) {
            let message = format!("`{key}` is of no use with `{}`", scheme.as_str());
            let needs = match scheme.means() {
                Means::Secret => "a `secret_file` or `secret_env`",
                Means::TokenFile => "a `token_file`",
                Means::Identity => "an `identity`, or that of `tls`",
            };
            let remedy = format!("remove it; `{}` works with {needs}", scheme.as_str());
            self.wrong(&value.place, message, remedy);
        }
    }

    fn username(&mut self, name: Option<Located<String>>, place: &Place) -> Option<String> {
        let name = self.require(name, place, "username", "`username: ci`")?;
        if name.contains(':') || name.chars().any(char::is_control) {
            let message = "a user name with a `:` or a control character cannot be sent";
            self.wrong(&name.place, message, "use an account without one");
        }
        Some(name.value)
    }

    fn signing_header(&mut self, name: &Located<String>) -> Option<HeaderName> {
        let shown = quoted(name);
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) if may_be_set(&header) && header != http::header::CONTENT_TYPE => {
                Some(header)
            }
            Ok(_) => {
                let message = format!("the header {shown} is set by us");
                self.wrong(&name.place, message, "write another one, such as `X-Webhook-Secret`");
                None
            }
            Err(_) => {
                let message = format!("{shown} is no name of a header");
                self.wrong(&name.place, message, "use letters, digits and `-`");
                None
            }
        }
    }

    fn parameter(&mut self, parameter: Located<String>) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if parameter.is_empty() || !parameter.bytes().all(plain) {
            let message = format!("{} is no name of a parameter", quoted(&parameter));
            let remedy =
                "use letters, digits, `-`, `.` and `_`: `secret`, `token`, `webhook_token`";
            self.wrong(&parameter.place, message, remedy);
            return None;
        }
        Some(parameter.value)
    }

    fn signing_identity(
        &mut self,
        named: Option<Located<String>>,
        tls: &Tls,
        place: &Place,
        identities: &[Identity],
    ) -> Option<Located<String>> {
        if let Some(named) = &named {
            self.known_identity(named, identities);
        }
        let example = "`identity: client`, one of `identities`, or give the endpoint one in `tls`";
        self.require(named.or_else(|| tls.identity.clone()), place, "identity", example)
    }
}
