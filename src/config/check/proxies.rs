//! The way to an endpoint, where it is not the direct one.

use std::net::IpAddr;

use crate::config::Proxy;
use crate::config::Url;
use crate::config::error::Located;
use crate::config::file;
use crate::config::read::quoted;

use super::Checker;

impl Checker<'_> {
    pub(super) fn proxy(&mut self, written: Located<file::Proxy>) -> Option<Proxy> {
        let Located { value, place } = written;
        let url = self.require(value.url, &place, "url", "`url: http://proxy.example.com:3128`");
        if let Some(url) = &url
            && !matches!(url.uri().path_and_query().map_or("", |rest| rest.as_str()), "" | "/")
        {
            let message =
                format!("the proxy {} has more than a host and a port", quoted(&url.to_string()));
            self.wrong(&url.place, message, "write `http://host:port` or `https://host:port`");
        }
        if let Some(url) = &url {
            self.dialled(url);
        }
        let plain = url.as_ref().is_some_and(|url| !url.is_https());
        if let Some(ca) = value.ca.as_ref().filter(|_| plain) {
            let message = "`ca` is of no use: the proxy is not an `https://` URL";
            self.wrong(&ca.place, message, "write the URL as `https://…`, or remove the key");
        }
        let ca = value.ca.map(|path| self.path(path));
        let asked = value.username.is_some()
            || value.password_file.is_some()
            || value.password_env.is_some();
        let account = if asked {
            let account = file::Look {
                username: value.username,
                password_file: value.password_file,
                password_env: value.password_env,
                realms: None,
            };
            Some(self.look(Located::new(account, place.clone()))?)
        } else {
            None
        };
        let allowed = value.insecure_http.is_some_and(|allowed| allowed.value);
        if let Some(url) =
            url.as_ref().filter(|url| account.is_some() && plain && !allowed && !is_here(url))
        {
            let message = format!(
                "{} is not encrypted, and would show the password",
                quoted(&url.to_string())
            );
            let remedy = "write an `https://` URL; or `insecure_http: true`, and everyone on the way can read it";
            self.wrong(&url.place, message, remedy);
        }
        Some(Proxy { url: url?, ca, account })
    }
}

/// On this machine, where nobody is on the way.
fn is_here(url: &Url) -> bool {
    let host = url.uri().host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
