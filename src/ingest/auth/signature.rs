//! Codes over a body, each sender in its own way.
//!
//! | kind | header | code | written | over |
//! |---|---|---|---|---|
//! | `github` | `X-Hub-Signature-256` | HMAC-SHA256 | `sha256=` and hex | the body |
//! | `gitea` | `X-Gitea-Signature`, `X-Forgejo-Signature` | HMAC-SHA256 | hex | the JSON, also inside a form |
//! | `artifactory` | `X-JFrog-Event-Auth` | HMAC-SHA256 | hex, with `sha256=` or without | the body |
//! | `nexus` | `X-Nexus-Webhook-Signature` | HMAC-SHA1 | hex | the body |
//! | `europa` | `x-europa-signature` | HMAC-SHA256 | standard base64 | the body |
//!
//! Gitea sends its headers without a secret, too, with nothing in them: that is no signature. GitHub's older
//! `X-Hub-Signature` (SHA-1) is never looked at. SHA-1 is broken for collisions, not for this use of it, and it
//! is all that Nexus has.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;

use super::super::BASE64;
use super::super::Kind;
use super::super::form;
use super::Presented;
use super::Refused;
use super::only;

const WHAT: &str = "signature";
const REMEDY: &str = "the sender has another secret, or something on the way changed the body";

/// The secrets of a sender, and how it signs.
#[derive(Clone)]
pub(super) struct Signature {
    way: &'static Way,
    keys: Vec<hmac::Key>,
}

struct Way {
    kind: Kind,
    /// The first that is there counts.
    headers: &'static [&'static str],
    algorithm: &'static hmac::Algorithm,
    encoding: Encoding,
    prefix: Prefix,
    expected: &'static str,
    over: Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Hex,
    Base64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    None,
    Sha256,
    MaybeSha256,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Body,
    /// What a form holds, where it is one.
    Payload,
}

static WAYS: [Way; 5] = [
    Way {
        kind: Kind::Github,
        headers: &["x-hub-signature-256"],
        algorithm: &hmac::HMAC_SHA256,
        encoding: Encoding::Hex,
        prefix: Prefix::Sha256,
        expected: "`sha256=` and 64 hex digits",
        over: Over::Body,
    },
    Way {
        kind: Kind::Gitea,
        headers: &["x-gitea-signature", "x-forgejo-signature"],
        algorithm: &hmac::HMAC_SHA256,
        encoding: Encoding::Hex,
        prefix: Prefix::None,
        expected: "64 hex digits; empty ones say that the hook has no secret",
        over: Over::Payload,
    },
    Way {
        kind: Kind::Artifactory,
        headers: &["x-jfrog-event-auth"],
        algorithm: &hmac::HMAC_SHA256,
        encoding: Encoding::Hex,
        prefix: Prefix::MaybeSha256,
        expected: "64 hex digits; a plain secret is not one, let the webhook use it for payload signing",
        over: Over::Body,
    },
    Way {
        kind: Kind::Nexus,
        headers: &["x-nexus-webhook-signature"],
        algorithm: &hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        encoding: Encoding::Hex,
        prefix: Prefix::None,
        expected: "40 hex digits",
        over: Over::Body,
    },
    Way {
        kind: Kind::Europa,
        headers: &["x-europa-signature"],
        algorithm: &hmac::HMAC_SHA256,
        encoding: Encoding::Base64,
        prefix: Prefix::None,
        expected: "the base64 of 32 bytes",
        over: Over::Body,
    },
];

impl Signature {
    /// How a kind signs with one of these secrets; none if it does not.
    pub(super) fn of(kind: Kind, secrets: &[&[u8]]) -> Option<Self> {
        let way = WAYS.iter().find(|way| way.kind == kind)?;
        let keys = secrets.iter().map(|secret| hmac::Key::new(*way.algorithm, secret)).collect();
        Some(Self { way, keys })
    }

    /// Compares with the code by each secret.
    pub(super) fn verify(&self, presented: &Presented<'_>) -> Result<(), Refused> {
        let way = self.way;
        let header = way.headers.iter().find(|header| presented.headers.contains_key(**header));
        let header = header.ok_or(Refused::Missing { what: WHAT })?;
        let text = only(presented.headers, header, WHAT)?;
        let malformed = || Refused::Malformed { what: WHAT, expected: way.expected };
        let bare = match way.prefix {
            Prefix::None => text,
            Prefix::Sha256 => text.strip_prefix("sha256=").ok_or_else(malformed)?,
            Prefix::MaybeSha256 => text.strip_prefix("sha256=").unwrap_or(text),
        };
        let given = match way.encoding {
            Encoding::Hex => hex(bare),
            Encoding::Base64 => BASE64.decode(bare).ok(),
        };
        let length = way.algorithm.digest_algorithm().output_len();
        let given = given.filter(|given| given.len() == length).ok_or_else(malformed)?;
        let payload;
        let signed = match way.over {
            Over::Body => presented.body,
            Over::Payload => {
                let expected = "over the `payload` of a form";
                let none = |_| Refused::Malformed { what: WHAT, expected };
                payload = form::payload(presented.headers, presented.body).map_err(none)?;
                &payload
            }
        };
        let mut is_one = false;
        for key in &self.keys {
            let code = hmac::sign(key, signed);
            is_one |= verify_slices_are_equal(code.as_ref(), &given).is_ok();
        }
        if is_one { Ok(()) } else { Err(Refused::Wrong { what: WHAT, remedy: REMEDY }) }
    }
}

/// The bytes that hex digits, of either case, stand for.
fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        u8::try_from(digit(0)? << 4 | digit(1)?).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use time::OffsetDateTime;

    use crate::secret::Secret;

    use super::super::super::tests::headers;
    use super::super::Credential;
    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &str = "Hello, World!";
    /// GitHub's own example of its documentation: this secret, this body.
    const HEX: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn verdict(
        kind: Kind,
        secrets: &[&str],
        headers: &HeaderMap,
        body: &str,
    ) -> Result<(), Refused> {
        let secrets: Vec<Secret> =
            secrets.iter().map(|s| Secret::new(s.as_bytes().to_vec())).collect();
        let credential = Credential::signature(kind, &secrets).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let body = body.as_bytes();
        credential.verify(&Presented { headers, path_token: None, body, now })
    }

    /// The header that a kind sends for the body above.
    fn signed(kind: Kind) -> (&'static str, String) {
        match kind {
            Kind::Github => ("x-hub-signature-256", format!("sha256={HEX}")),
            Kind::Gitea => ("x-gitea-signature", HEX.to_owned()),
            Kind::Artifactory => ("x-jfrog-event-auth", HEX.to_owned()),
            // `printf 'Hello, World!' | openssl dgst -sha1 -hmac "It's a Secret to Everybody"`
            Kind::Nexus => {
                ("x-nexus-webhook-signature", "01dc10d0c83e72ed246219cdd91669667fe2ca59".to_owned())
            }
            // The hex above, as base64.
            _ => ("x-europa-signature", "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=".to_owned()),
        }
    }

    const SIGNING: [Kind; 5] =
        [Kind::Github, Kind::Gitea, Kind::Artifactory, Kind::Nexus, Kind::Europa];

    #[test]
    fn each_kind_signs_in_its_way() {
        for kind in SIGNING {
            let (name, value) = signed(kind);
            let good = headers(&[(name, value.as_str())]);
            assert_eq!(verdict(kind, &[SECRET], &good, BODY), Ok(()), "{kind}");
            assert_eq!(verdict(kind, &["other", SECRET], &good, BODY), Ok(()), "{kind}");
            let wrong = Err(Refused::Wrong { what: WHAT, remedy: REMEDY });
            assert_eq!(verdict(kind, &["other"], &good, BODY), wrong, "{kind}");
            assert_eq!(verdict(kind, &[SECRET], &good, "Hello, World?"), wrong, "{kind}");
            assert_eq!(verdict(kind, &[SECRET], &good, ""), wrong, "{kind}");
            let none = verdict(kind, &[SECRET], &HeaderMap::new(), BODY);
            assert_eq!(none, Err(Refused::Missing { what: WHAT }), "{kind}");
        }
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        for kind in SIGNING {
            let (name, value) = signed(kind);
            for bad in [
                "",
                "sha256=",
                "sha1=757107ea0eb2509fc211221cce984b8a37570b6d",
                SECRET,
                value.get(..value.len() - 5).unwrap(),
                &format!("{value}00"),
                &format!("{value},{value}"),
            ] {
                let verdict = verdict(kind, &[SECRET], &headers(&[(name, bad)]), BODY);
                assert!(matches!(verdict, Err(Refused::Malformed { .. })), "{kind} {bad}");
            }
            let mut twice = headers(&[(name, value.as_str())]);
            twice.append(name, value.parse().unwrap());
            let verdict = verdict(kind, &[SECRET], &twice, BODY);
            assert!(matches!(verdict, Err(Refused::Malformed { .. })), "{kind}");
        }
    }

    #[test]
    fn prefixes_are_asked_for_and_allowed() {
        let prefixed = format!("sha256={HEX}");
        for (kind, header, value, is_right) in [
            (Kind::Github, "x-hub-signature-256", HEX, false),
            (Kind::Gitea, "x-gitea-signature", &prefixed, false),
            (Kind::Gitea, "x-forgejo-signature", HEX, true),
            (Kind::Gitea, "x-hub-signature-256", &prefixed, false),
            (Kind::Artifactory, "x-jfrog-event-auth", &prefixed, true),
            (
                Kind::Github,
                "x-hub-signature",
                "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
                false,
            ),
        ] {
            let verdict = verdict(kind, &[SECRET], &headers(&[(header, value)]), BODY);
            assert_eq!(verdict.is_ok(), is_right, "{kind} {header} {value}");
        }
    }

    #[test]
    fn of_a_form_gitea_signs_what_it_holds_and_github_the_form() {
        let form = "payload=Hello%2C+World%21";
        let content_type = ("content-type", "application/x-www-form-urlencoded");
        let (name, value) = signed(Kind::Gitea);
        let good = headers(&[content_type, (name, value.as_str())]);
        assert_eq!(verdict(Kind::Gitea, &[SECRET], &good, form), Ok(()));
        assert!(verdict(Kind::Gitea, &[SECRET], &good, "Hello, World!").is_err());
        let (name, value) = signed(Kind::Github);
        let github = headers(&[content_type, (name, value.as_str())]);
        assert!(verdict(Kind::Github, &[SECRET], &github, form).is_err());
        assert_eq!(verdict(Kind::Github, &[SECRET], &github, BODY), Ok(()));
    }
}
