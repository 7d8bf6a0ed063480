//! Sonatype Nexus Repository 3, its webhook of a repository.
//!
//! ```text
//! {"timestamp": "2016-11-10T23:57:49.664+0000", "nodeId": "…", "initiator": "admin/127.0.0.1",
//!  "repositoryName": "docker-hosted", "action": "CREATED" | "UPDATED" | "DELETED" | "PURGED",
//!  "component": {"id": "…", "componentId": "…", "format": "docker", "name": "team/app", "version": "1.4.2"}}
//! ```
//!
//! or `"asset": {"id": "…", "assetId": "…", "format": "docker", "name": "/v2/team/app/manifests/1.4.2"}` in the
//! place of the component.
//!
//! - A component is an image and its tag. An asset is a file: of a manifest it makes an event, with the tag or
//!   the digest in its path; of a blob none. Whether the path begins with a slash depends on the version of
//!   Nexus (unproven). **One push told as both makes two reports**: subscribe to components alone.
//! - `CREATED` and `UPDATED` are pushes; whether Nexus says `UPDATED` of anything else than a tag that was pushed
//!   again is unproven. `PURGED` lists ids that name no image, and is skipped, as is every
//!   other format than `docker`.
//! - `timestamp` has an offset without a colon in Nexus's own documentation, and with one today.
//! - `initiator` is `<user>/<address>`, or the name of a part of Nexus.
//! - It never tells a digest of a component, nor a host: the registry's name must be configured.
//! - The signature is HMAC-**SHA1**, which is all that Nexus has.
//!
//! Source: sonatype/nexus-public `Repository{Asset,Component}Webhook.java`, `WebhookServiceImpl.java`;
//! help.sonatype.com "Example Headers And Payloads".

use time::OffsetDateTime;
use time::UtcOffset;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::event::Action;
use crate::event::Request;
use crate::event::schema::time_of;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::Route;

use super::distribution::address;
use super::error::Error;
use super::error::excerpt;
use super::node::Node;
use super::node::REPOSITORY;
use super::node::TAG;
use super::node::TEXT;
use super::node::TIME;
use super::told::Identity;
use super::told::Reading;
use super::told::Told;
use super::told::split;

const NO_HOST: &str = "Nexus never does";

/// ISO 8601 as Nexus's documentation shows it, `2016-11-10T23:57:49.664+0000`.
const BASIC_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond][offset_hour sign:mandatory][offset_minute]"
);

/// Reads the notification.
pub(super) fn read(root: &Node<'_>, reading: &mut Reading<'_>) -> Result<(), Error> {
    let word = root.text("action")?.ok_or_else(|| root.missing("action", TEXT))?;
    let action = match &*word {
        "CREATED" | "UPDATED" => Action::Push,
        "DELETED" => Action::Delete,
        "PURGED" => {
            reading.skip("`PURGED` lists ids that name no image".to_owned());
            return Ok(());
        }
        other => {
            let other = excerpt(other);
            reading.skip(format!("the action `{other}` is none of CREATED, UPDATED, DELETED"));
            return Ok(());
        }
    };
    let component = root.object_if_any("component")?;
    let (thing, is_component) = match &component {
        Some(component) => (component.clone(), true),
        None => (root.object("asset")?, false),
    };
    let format = thing.text("format")?.unwrap_or_default();
    if format != "docker" {
        let format = excerpt(&format);
        reading.skip(format!("it is of the format `{format}`, not `docker`"));
        return Ok(());
    }
    let found = if is_component { Some(of_component(&thing)?) } else { of_asset(&thing)? };
    let Some((repository, reference)) = found else {
        let name = excerpt(&thing.text("name")?.unwrap_or_default());
        reading.skip(format!("`{name}` is no manifest; events are about manifests"));
        return Ok(());
    };
    let registry = reading.registry(None, NO_HOST)?;
    let time = time(root)?;
    let identity = if time.is_some() { Identity::Bytes } else { Identity::Arrival };
    let mut told = Told::new(identity, action, registry, repository);
    (told.tag, told.digest) = split(Some(reference));
    told.time = time;
    if let Some(initiator) = root.free_text("initiator")? {
        let (user, from) = match initiator.rsplit_once('/') {
            Some((user, from)) => (user.to_owned(), address(from)),
            None => (initiator.clone(), None),
        };
        told.actor = Some(user).filter(|user| !user.is_empty());
        told.request = Request { address: from, ..Request::default() };
    }
    let fields = [
        ("action", "action"),
        ("actor", "initiator"),
        ("request.address", "initiator"),
        ("time", "timestamp"),
    ];
    reading.found_in(root, &fields);
    let of_reference = if is_component { "version" } else { "name" };
    reading.found_in(
        &thing,
        &[("repository", "name"), ("tag", of_reference), ("digest", of_reference)],
    );
    reading.push(0, told);
    Ok(())
}

fn of_component(component: &Node<'_>) -> Result<(RepositoryName, Reference), Error> {
    let name = component.parse("name", REPOSITORY)?;
    let reference = component.reference("version")?;
    Ok((name, reference.ok_or_else(|| component.missing("version", TAG))?))
}

/// The manifest an asset is; none if it is something else.
fn of_asset(asset: &Node<'_>) -> Result<Option<(RepositoryName, Reference)>, Error> {
    let name = asset.text("name")?.ok_or_else(|| asset.missing("name", TEXT))?;
    let path = format!("/{}", name.trim_start_matches('/'));
    match Route::of(&path) {
        Route::Manifest { repository, reference } => Ok(Some((repository, reference))),
        _ => Ok(None),
    }
}

fn time(root: &Node<'_>) -> Result<Option<OffsetDateTime>, Error> {
    let Some(text) = root.text("timestamp")? else {
        return Ok(None);
    };
    let basic = || OffsetDateTime::parse(&text, BASIC_OFFSET).ok();
    let time = time_of(&text).or_else(basic);
    let time = time.and_then(|time| time.checked_to_offset(UtcOffset::UTC));
    let wrong = || root.member("timestamp").unwrap_or_else(|| root.clone()).wrong(TIME);
    time.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use crate::registry::Digest;

    use super::super::Kind;
    use super::super::Parsed;
    use super::super::tests::RECEIVED;
    use super::super::tests::fixture;
    use super::super::tests::only;
    use super::super::tests::parse;
    use super::*;

    const NAMED: Option<&str> = Some("nexus.example.com:5000");

    fn parsed(text: &str) -> Result<Parsed, Error> {
        parse(Kind::Nexus, text, NAMED)
    }

    #[test]
    fn a_component_is_an_event() {
        let told = only(parsed(fixture("nexus-component")).unwrap());
        let event = &told.event;
        assert_eq!(event.reference(), "nexus.example.com:5000/team/app:1.4.2");
        assert_eq!((event.action, event.actor.name.as_deref()), (Action::Push, Some("admin")));
        assert_eq!(event.request.address.as_deref(), Some("203.0.113.7"));
        assert_eq!(told.stamp, Some(datetime!(2026-03-01 09:15:02.664 UTC)));
        let error = parse(Kind::Nexus, fixture("nexus-component"), None).unwrap_err().to_string();
        assert!(error.contains("Nexus never does"), "{error}");
    }

    #[test]
    fn an_asset_is_one_if_it_is_a_manifest() {
        let text = fixture("nexus-asset");
        let event = only(parsed(text).unwrap()).event;
        assert_eq!(event.subject(), "team/app:1.4.2");
        let bare = text.replace("\"/v2/", "\"v2/");
        assert_eq!(only(parsed(&bare).unwrap()).event.subject(), "team/app:1.4.2");
        let digest = Digest::sha256(b"child");
        let child = text.replace("manifests/1.4.2", &format!("manifests/{digest}"));
        let event = only(parsed(&child).unwrap()).event;
        assert_eq!((event.tag, event.digest), (None, Some(digest.clone())));
        let blob = text.replace("manifests/1.4.2", &format!("blobs/{digest}"));
        let parsed = parsed(&blob).unwrap();
        assert!(
            parsed.events.is_empty() && parsed.skipped[0].contains("no manifest"),
            "{parsed:?}"
        );
    }

    #[test]
    fn actions_have_nexus_own_words() {
        let text = fixture("nexus-component");
        for (word, action) in [("UPDATED", Action::Push), ("DELETED", Action::Delete)] {
            let event = only(parsed(&text.replace("CREATED", word)).unwrap()).event;
            assert_eq!(event.action, action);
        }
        let purged = r#"{"repositoryName": "a", "action": "PURGED", "components": ["1", "2"]}"#;
        for text in
            [purged.to_owned(), text.replace("CREATED", "MOVED"), text.replace("docker\"", "raw\"")]
        {
            let parsed = parsed(&text).unwrap();
            assert!(parsed.events.is_empty() && parsed.skipped.len() == 1, "{parsed:?}");
        }
    }

    #[test]
    fn times_come_in_two_ways() {
        let text = fixture("nexus-component");
        for (written, expected) in [
            ("2026-03-01T09:15:02.664+0000", Some(datetime!(2026-03-01 09:15:02.664 UTC))),
            ("2026-03-01T11:15:02.664+0200", Some(datetime!(2026-03-01 09:15:02.664 UTC))),
            ("2026-03-01T09:15:02.664+00:00", Some(datetime!(2026-03-01 09:15:02.664 UTC))),
            ("2026-03-01T09:15:02.664Z", Some(datetime!(2026-03-01 09:15:02.664 UTC))),
            ("", None),
        ] {
            let text = text.replace("2026-03-01T09:15:02.664+0000", written);
            let told = only(parsed(&text).unwrap());
            assert_eq!((told.stamp, told.event.time), (expected, expected.unwrap_or(RECEIVED)));
        }
    }

    #[test]
    fn a_part_of_nexus_may_have_done_it() {
        let text = fixture("nexus-component").replace("admin/203.0.113.7", "*TASK");
        let event = only(parsed(&text).unwrap()).event;
        assert_eq!((event.actor.name.as_deref(), event.request.address), (Some("*TASK"), None));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let text = fixture("nexus-component");
        for (from, to, expected) in [
            ("\"action\"", "\"a\"", "`action` is missing"),
            ("\"component\"", "\"c\"", "`asset` is missing; it must be an object"),
            ("\"team/app\"", "\"Team//app\"", "`component.name` is `Team//app`"),
            ("\"version\"", "\"v\"", "`component.version` is missing; it must be a tag"),
            ("2026-03-01T", "x", "`timestamp` is `x09:15:02.664+0000`; it must be an RFC 3339"),
        ] {
            let error = parsed(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
    }
}
