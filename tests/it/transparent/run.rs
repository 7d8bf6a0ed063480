use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use serde_json::Value;

use crate::support::Client;
use crate::support::Heard;
use crate::support::Said;
use crate::support::sha256;

/// One client's way through the script: what it asked, and what it heard, with everything masked that is
/// new each time.
pub(super) struct Run {
    client: Client,
    base: String,
    uploads: Vec<String>,
    ground: &'static str,
    seen: Vec<Seen>,
}

/// One part of a script: the ground it covers, and how.
pub(super) type Part = (&'static str, fn(&mut Run));

/// One exchange, masked.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) ground: &'static str,
    pub(super) asked: String,
    pub(super) heard: String,
}

/// Headers of one hop, which are each hop's own, and the clock's.
const HOP: [&str; 4] = ["connection", "date", "keep-alive", "transfer-encoding"];

/// What a registry may believe that clients call it.
pub(super) const NAMED: &str = "https://names.example:8443";

/// A body longer than this is compared by its digest.
const SHOWN: usize = 2 << 10;

impl Run {
    /// Runs a script from beginning to end.
    pub(super) fn of(client: Client, script: &[Part]) -> Vec<Seen> {
        let base = client.base();
        let mut run = Self { client, base, uploads: Vec::new(), ground: "", seen: Vec::new() };
        for (ground, part) in script {
            run.ground = ground;
            part(&mut run);
        }
        run.seen
    }

    pub(super) fn get(&mut self, target: &str) -> Heard {
        self.ask(Method::GET, target, &[], Said::nothing())
    }

    pub(super) fn head(&mut self, target: &str) -> Heard {
        self.ask(Method::HEAD, target, &[], Said::nothing())
    }

    pub(super) fn post(&mut self, target: &str) -> Heard {
        self.ask(Method::POST, target, &[], Said::nothing())
    }

    pub(super) fn delete(&mut self, target: &str) -> Heard {
        self.ask(Method::DELETE, target, &[], Said::nothing())
    }

    /// One exchange. The target may be a location as the registry gave it.
    pub(super) fn ask(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Said,
    ) -> Heard {
        let own = target.strip_prefix(&self.base).or_else(|| target.strip_prefix(NAMED));
        let target = own.unwrap_or(target).to_owned();
        assert!(target.starts_with('/'), "{}: a location elsewhere: {target}", self.base);
        let mut asked = format!("{method} {}", self.masked(&target));
        for (name, value) in headers {
            write!(asked, "\n{name}: {value}").unwrap();
        }
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        let answered = self.client.send(method, &target, &headers, body);
        let answered = answered.unwrap_or_else(|error| panic!("{}: {asked}: {error}", self.base));
        let heard = self.text(&answered);
        self.seen.push(Seen { ground: self.ground, asked, heard });
        answered
    }

    /// A blob in the usual two steps.
    pub(super) fn blob(&mut self, repository: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let at = self.begin(repository);
        self.finish(&at, &digest, Said::whole(bytes.to_vec()));
        digest
    }

    /// Begins an upload and yields its location.
    pub(super) fn begin(&mut self, repository: &str) -> String {
        location(&self.post(&format!("/v2/{repository}/blobs/uploads/")))
    }

    pub(super) fn patch(&mut self, at: &str, range: Option<&str>, body: Said) -> Heard {
        let kind = ("Content-Type", "application/octet-stream");
        match range {
            Some(range) => self.ask(Method::PATCH, at, &[kind, ("Content-Range", range)], body),
            None => self.ask(Method::PATCH, at, &[kind], body),
        }
    }

    pub(super) fn finish(&mut self, at: &str, digest: &str, body: Said) -> Heard {
        let and = if at.contains('?') { '&' } else { '?' };
        let kind = ("Content-Type", "application/octet-stream");
        self.ask(Method::PUT, &format!("{at}{and}digest={digest}"), &[kind], body)
    }

    pub(super) fn manifest(&mut self, target: &str, kind: &str, bytes: &[u8]) -> Heard {
        let kind = ("Content-Type", kind);
        self.ask(Method::PUT, target, &[kind], Said::whole(bytes.to_vec()))
    }

    fn text(&mut self, heard: &Heard) -> String {
        let boundary = heard.header("content-type").and_then(|kind| kind.split_once("boundary="));
        let boundary = boundary.map(|(_, boundary)| boundary.to_owned());
        let mut lines: Vec<String> = Vec::new();
        for (name, value) in &heard.headers {
            if !HOP.contains(&name.as_str()) {
                let line = format!("{name}: {}", value.to_str().unwrap());
                lines.push(sorted_scope(&self.masked(&line)));
            }
        }
        lines.sort();
        let body = match std::str::from_utf8(&heard.body) {
            // How far it came is the kernel's affair.
            _ if !heard.whole => "cut off".to_owned(),
            Ok(text) if text.len() <= SHOWN => self.masked(text),
            _ => format!("{} bytes, {}", heard.body.len(), sha256(&heard.body)),
        };
        let text = format!("{}\n{}\n\n{body}", heard.status, lines.join("\n"));
        boundary.map_or(text.clone(), |boundary| text.replace(&boundary, "<boundary>"))
    }

    /// The text without what is new in each run: who was asked, ids of uploads, and the registry's own
    /// signed state, of which what it remembers stays.
    fn masked(&mut self, text: &str) -> String {
        // The realm it makes of our name is one of `https`, whatever it is asked over itself.
        let secure = self.base.replace("http://", "https://");
        let text = text.replace(&self.base, "<registry>").replace(&secure, "<registry>");
        let mut masked = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("_state=") {
            let end = after.find(['&', '>', '"', '\n']).unwrap_or(after.len());
            let (state, after) = after.split_at(end);
            write!(masked, "{before}_state=<{}>", remembered(state)).unwrap();
            rest = after;
        }
        masked.push_str(rest);
        while let Some(id) = uuid_in(&masked) {
            let known = self.uploads.iter().position(|upload| *upload == id);
            let number = known.unwrap_or_else(|| {
                self.uploads.push(id.clone());
                self.uploads.len() - 1
            });
            masked = masked.replace(&id, &format!("<upload {number}>"));
        }
        masked
    }
}

/// Where the registry wants the next request.
pub(super) fn location(heard: &Heard) -> String {
    heard.header("location").unwrap_or_else(|| panic!("no location: {heard:?}")).to_owned()
}

/// The same, or where it was, if the registry says nothing.
pub(super) fn onward(heard: &Heard, at: &str) -> String {
    heard.header("location").unwrap_or(at).to_owned()
}

/// What a registry writes down in the state of an upload: 32 bytes of signature, then JSON.
fn remembered(state: &str) -> String {
    let state = state.replace("%3D", "=");
    let read = URL_SAFE.decode(&state).ok();
    let read = read.and_then(|bytes| serde_json::from_slice::<Value>(bytes.get(32..)?).ok());
    read.map_or(format!("unreadable {state}"), |read| {
        format!("{} of {}", read["Offset"], read["Name"])
    })
}

/// A registry written in Go names the scopes of a challenge in the order of a map: in another one each time.
fn sorted_scope(line: &str) -> String {
    let Some((before, rest)) = line.split_once("scope=\"") else {
        return line.to_owned();
    };
    let (scope, after) = rest.split_once('"').unwrap();
    let mut scopes: Vec<String> = scope
        .split(' ')
        .map(|scope| {
            let (name, actions) = scope.rsplit_once(':').unwrap();
            let mut actions: Vec<&str> = actions.split(',').collect();
            actions.sort_unstable();
            format!("{name}:{}", actions.join(","))
        })
        .collect();
    scopes.sort();
    format!("{before}scope=\"{}\"{after}", scopes.join(" "))
}

fn uuid_in(text: &str) -> Option<String> {
    let is_uuid = |window: &[u8]| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let found = text.as_bytes().windows(36).find(|window| is_uuid(window))?;
    Some(String::from_utf8(found.to_vec()).unwrap())
}
