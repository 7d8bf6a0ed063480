//! Tokens for our own looks, where a registry wants them (`WWW-Authenticate: Bearer`).
//!
//! The realm is a URL that a peer chose (rule V7). One at the registry's own host is asked over the way to the
//! registry; any other only if it is on the operator's list, over a connection of its own. Nobody else gets our
//! credentials, or is called at all.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header;
use serde::Deserialize;
use tracing::warn;

use crate::body::Collected;
use crate::body::collect_capped;
use crate::telemetry::printable;

use super::request::RequestBody;
use super::upstream::Session;
use super::upstream::Share;
use super::upstream::Upstream;

/// A place that hands out tokens, on the operator's list.
#[derive(Debug, Clone)]
pub(super) struct Realm {
    /// Its URL; a path of `/` stands for all of them.
    pub(super) url: Uri,
    /// The way to it.
    pub(super) way: Upstream,
}

/// The tokens we have, and where they come from.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    /// `host:port` under which a realm is the registry itself.
    own: Vec<String>,
    realms: Vec<Realm>,
    /// Basic credentials, for realms only.
    account: Option<HeaderValue>,
    agent: HeaderValue,
    kept: Arc<Mutex<HashMap<String, Token>>>,
    said: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
struct Token {
    value: HeaderValue,
    until: Instant,
}

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

/// What a realm answers.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// An answer is a token and a few words; a longer one is none.
const LIMIT: usize = 64 << 10;
/// How many repositories have a token at once.
const MOST: usize = 1000;
/// How long a token is good where nothing is said (the token specification), and at most.
const USUAL: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long before its end a token is not used any more.
const SPARE: Duration = Duration::from_secs(10);
/// The most of a challenge that is read.
const CHALLENGE: usize = 4 << 10;

impl Tokens {
    pub(super) fn new(
        own: Vec<String>,
        realms: Vec<Realm>,
        account: Option<HeaderValue>,
        agent: HeaderValue,
    ) -> Self {
        let (kept, said) = Default::default();
        Self { own, realms, account, agent, kept, said }
    }

    /// The token for a repository, if there is one already.
    pub(super) fn known(&self, repository: &str) -> Option<HeaderValue> {
        let mut kept = self.lock();
        let token = kept.get(repository)?;
        if token.until > Instant::now() {
            return Some(token.value.clone());
        }
        kept.remove(repository);
        None
    }

    /// Gets one as the challenge in these headers says. It has no deadline of its own.
    pub(super) async fn get(
        &self,
        repository: &str,
        headers: &HeaderMap,
        registry: &Upstream,
    ) -> Option<HeaderValue> {
        self.lock().remove(repository);
        let challenge = Challenge::read(headers)?;
        let realm: Uri = challenge.realm.parse().ok()?;
        let Some(way) = self.way(&realm, registry) else {
            if !self.said.swap(true, Ordering::Relaxed) {
                warn!(
                    realm = printable(&challenge.realm, 256),
                    "The registry sends our looks to a realm that is not on the list, which gets nothing: name it in \
                     registry.look.realms"
                );
            }
            return None;
        };
        let path = realm.path();
        let query = challenge.query(realm.query(), repository);
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = Method::GET;
        *request.uri_mut() = format!("{path}?{query}").parse().ok()?;
        let fields = request.headers_mut();
        fields.insert(header::HOST, HeaderValue::from_str(realm.authority()?.as_str()).ok()?);
        fields.insert(header::USER_AGENT, self.agent.clone());
        if let Some(account) = &self.account {
            fields.insert(header::AUTHORIZATION, account.clone());
        }
        let (response, lease) = way.send(&Session::default(), Share::Any, request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let Ok(Collected::Whole(body)) = collect_capped(response.into_body(), LIMIT).await else {
            return None;
        };
        lease.give_back();
        let (value, lasts) = token_of(&body)?;
        let mut kept = self.lock();
        if kept.len() >= MOST {
            kept.clear();
        }
        let until = Instant::now() + lasts.saturating_sub(SPARE);
        kept.insert(repository.to_owned(), Token { value: value.clone(), until });
        Some(value)
    }

    /// How a realm is reached, if it may be.
    fn way<'a>(&'a self, realm: &Uri, registry: &'a Upstream) -> Option<&'a Upstream> {
        let place = place(realm)?;
        if self.own.contains(&place) {
            return Some(registry);
        }
        let listed = |listed: &&Realm| {
            listed.url.scheme() == realm.scheme()
                && self::place(&listed.url).as_ref() == Some(&place)
                && (listed.url.path() == "/" || listed.url.path() == realm.path())
        };
        self.realms.iter().find(listed).map(|realm| &realm.way)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Token>> {
        // A map is a map even if somebody panicked while holding it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `host:port` of a URL without user or password, in lower case.
pub(super) fn place(url: &Uri) -> Option<String> {
    let port = match url.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let authority = url.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let port = url.port_u16().unwrap_or(port);
    Some(format!("{}:{port}", authority.host().to_ascii_lowercase()))
}

fn token_of(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    let lasts = answer.expires_in.map_or(USUAL, Duration::from_secs).min(LONGEST);
    Some((value, lasts))
}

impl Challenge {
    /// The first `Bearer` challenge with a realm (RFC 9110 §11.6.1).
    fn read(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .filter(|line| line.len() <= CHALLENGE)
            .find_map(Self::read_line)
    }

    fn read_line(line: &str) -> Option<Self> {
        let (scheme, mut rest) = line.trim_start().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut challenge = Self { realm: String::new(), service: None, scope: None };
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
            let (value, left) = value_of(after)?;
            rest = left;
            match name.as_str() {
                "realm" => challenge.realm = value,
                "service" => challenge.service = Some(value),
                "scope" => challenge.scope = Some(value),
                _ => {}
            }
        }
        (!challenge.realm.is_empty()).then_some(challenge)
    }

    /// What to ask the realm: to read this repository, whatever else was offered.
    fn query(&self, before: Option<&str>, repository: &str) -> String {
        let reads = |scope: &&String| {
            let action = scope.rsplit(':').next().unwrap_or_default();
            scope.starts_with("repository:") && action == "pull" && !scope.contains(' ')
        };
        let ours = format!("repository:{repository}:pull");
        let scope = self.scope.as_ref().filter(reads).unwrap_or(&ours);
        let mut query = before.map(|before| format!("{before}&")).unwrap_or_default();
        if let Some(service) = &self.service {
            query.push_str("service=");
            encode(&mut query, service);
            query.push('&');
        }
        query.push_str("scope=");
        encode(&mut query, scope);
        query
    }
}

/// A token or a quoted string, and what comes after it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return Some((value.trim().to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Everything but the characters that mean nothing in a query (RFC 3986 §2.3).
fn encode(query: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            query.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(query, "%{byte:02X}").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(line: &'static str) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(line));
        Challenge::read(&headers)
    }

    #[test]
    fn a_challenge_says_where_and_we_say_what_for() {
        let read = challenge(
            r#"Bearer realm="https://auth.example.com/token?a=b",service="reg \"1\"",scope="repository:x/y:pull""#,
        )
        .unwrap();
        assert_eq!(read.realm, "https://auth.example.com/token?a=b");
        assert_eq!(
            read.query(Some("a=b"), "x/y"),
            "a=b&service=reg%20%221%22&scope=repository:x/y:pull"
        );
        // Nobody talks us into more than reading.
        let more =
            challenge(r#"bearer scope="repository:x:pull,push", realm=http://h/t, error="no""#)
                .unwrap();
        assert_eq!(more.realm, "http://h/t");
        assert_eq!(more.query(None, "team/app"), "scope=repository:team/app:pull");
        for none in ["Bearer", "Bearer service=\"s\"", "Bearer realm=\"open", "Digest realm=\"x\""]
        {
            assert_eq!(challenge(none), None, "{none}");
        }
    }

    #[test]
    fn a_realm_is_one_place_and_nothing_else() {
        let at = |url: &str| place(&url.parse().unwrap());
        assert_eq!(at("https://Auth.example.com/t").as_deref(), Some("auth.example.com:443"));
        assert_eq!(at("http://h:5000/").as_deref(), Some("h:5000"));
        assert_eq!(at("https://auth.example.com@evil.example/t"), None);
        assert_eq!(at("ftp://h/"), None);
        assert_eq!(at("/token"), None);
    }

    #[test]
    fn an_answer_is_a_token_and_how_long_it_lasts() {
        let seconds = |body: &str| token_of(body.as_bytes()).map(|(_, lasts)| lasts.as_secs());
        assert_eq!(seconds(r#"{"token":"t"}"#), Some(60));
        assert_eq!(seconds(r#"{"access_token":"t","expires_in":300}"#), Some(300));
        assert_eq!(seconds(r#"{"token":"t","expires_in":999999}"#), Some(3600));
        for none in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, "[]"] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }
}
