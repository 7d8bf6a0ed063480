//! What each tag was last known to be: the memory that says what a push changed.

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;

use crate::event::Action;
use crate::event::Change;
use crate::event::Event;
use crate::event::Origin;
use crate::event::Outcome;
use crate::registry::Digest;
use crate::registry::Kind;
use crate::registry::RepositoryName;
use crate::registry::Tag;

use super::Before;
use super::Known;
use super::deliveries::millis;

/// What a tag was, and since when.
struct Row {
    digest: Option<String>,
    at: i64,
}

/// Says in the event what it made of its tag, and remembers what the tag is now.
pub(super) fn apply(
    connection: &Connection,
    event: &mut Event,
    before: &Before,
    sequence: i64,
) -> rusqlite::Result<()> {
    if event.superseded {
        // What is known is newer.
        (event.change, event.previous_digest) = (None, None);
        return Ok(());
    }
    match (event.action, event.tag.clone()) {
        (Action::Push, Some(tag)) => push(connection, event, &tag, before, sequence),
        (Action::Delete, Some(tag)) => delete_tag(connection, event, &tag, sequence),
        (Action::Delete, None) => delete_digest(connection, event, sequence),
        (Action::Push, None) | (Action::Mount | Action::Pull, _) => Ok(()),
    }
}

/// What a tag of one registry was last known to be.
pub(super) fn known(
    connection: &Connection,
    registry: &str,
    repository: &RepositoryName,
    tag: &Tag,
) -> rusqlite::Result<Known> {
    Ok(read(connection, registry, repository, tag)?.map_or(Known::Never, |row| row.known()))
}

/// The same where the registry is not said: nothing, if two registries have such a tag.
pub(super) fn known_anywhere(
    connection: &Connection,
    repository: &RepositoryName,
    tag: &Tag,
) -> rusqlite::Result<Known> {
    let sql = "SELECT digest, at FROM tags WHERE repository = ?1 AND tag = ?2 LIMIT 2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![repository.as_str(), tag.as_str()])?;
    let Some(first) = rows.next()?.map(Row::of).transpose()? else {
        return Ok(Known::Never);
    };
    Ok(if rows.next()?.is_some() { Known::Never } else { first.known() })
}

/// What an index weighs: itself and the sum over what it lists, where every size is known.
pub(super) fn total_size(connection: &Connection, event: &Event) -> rusqlite::Result<Option<u64>> {
    if event.kind != Some(Kind::Index) || event.platforms.is_empty() {
        return Ok(None);
    }
    let sql = "SELECT total_size FROM manifests WHERE digest = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let Some(mut sum) = event.size else {
        return Ok(None);
    };
    for platform in &event.platforms {
        let size = statement
            .query_row([platform.digest.as_str()], |row| row.get::<_, i64>(0))
            .optional()?;
        let total = size.and_then(|size| sum.checked_add(u64::try_from(size).ok()?));
        let Some(total) = total else {
            return Ok(None);
        };
        sum = total;
    }
    Ok(Some(sum))
}

/// Remembers the size of a pushed manifest's content, for the index that lists it.
pub(super) fn remember_size(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    // A size beyond what SQLite can hold is no size of anything, only a manifest that says so.
    let size = event.total_size.and_then(|size| i64::try_from(size).ok());
    let (Action::Push, Some(digest), Some(size)) = (event.action, &event.digest, size) else {
        return Ok(());
    };
    connection
        .prepare_cached("INSERT OR IGNORE INTO manifests (digest, total_size) VALUES (?1, ?2)")?
        .execute(params![digest.as_str(), size])?;
    Ok(())
}

fn push(
    connection: &Connection,
    event: &mut Event,
    tag: &Tag,
    before: &Before,
    sequence: i64,
) -> rusqlite::Result<()> {
    let row = read(connection, &event.registry, &event.repository, tag)?;
    if !is_news(event, row.as_ref()) {
        (event.change, event.previous_digest) = (None, None);
        return forget(connection, event, tag);
    }
    let known = row.map_or(Known::Never, |row| row.known());
    (event.change, event.previous_digest) = change(known, before, event.digest.as_ref());
    match &event.digest {
        Some(digest) => write(connection, event, tag, Some(digest), sequence),
        None => forget(connection, event, tag),
    }
}

fn delete_tag(
    connection: &Connection,
    event: &mut Event,
    tag: &Tag,
    sequence: i64,
) -> rusqlite::Result<()> {
    let row = read(connection, &event.registry, &event.repository, tag)?;
    if !is_news(event, row.as_ref()) {
        return forget(connection, event, tag);
    }
    if let (None, Some(Known::Digest(digest))) = (&event.previous_digest, row.map(|r| r.known())) {
        event.previous_digest = Some(digest);
    }
    write(connection, event, tag, None, sequence)
}

/// A manifest that goes takes every tag along that points to it.
fn delete_digest(connection: &Connection, event: &Event, sequence: i64) -> rusqlite::Result<()> {
    let Some(digest) = &event.digest else {
        return Ok(());
    };
    let (repository, registry) = (event.repository.as_str(), event.registry.as_str());
    if event.outcome == Outcome::Unconfirmed {
        let sql = "DELETE FROM tags WHERE repository = ?1 AND digest = ?2 AND registry = ?3";
        connection.prepare_cached(sql)?.execute(params![repository, digest.as_str(), registry])?;
        return Ok(());
    }
    connection
        .prepare_cached(
            "UPDATE tags SET digest = NULL, sequence = ?4, at = ?5
             WHERE repository = ?1 AND digest = ?2 AND registry = ?3 AND (?6 OR at <= ?5)",
        )?
        .execute(params![
            repository,
            digest.as_str(),
            registry,
            sequence,
            millis(event.time),
            // What was pushed since the delete that we are only told of now is there.
            event.origin != Origin::Notification,
        ])?;
    Ok(())
}

/// Whether the event tells what the tag is now. One that nobody could confirm does not, nor does a
/// report that is stamped before what we know already: either order is possible, and the next look
/// will tell.
fn is_news(event: &Event, row: Option<&Row>) -> bool {
    let late =
        event.origin == Origin::Notification && row.is_some_and(|row| millis(event.time) < row.at);
    event.outcome == Outcome::Confirmed && !late
}

/// What a push made of its tag, and what the tag was before.
fn change(
    known: Known,
    before: &Before,
    digest: Option<&Digest>,
) -> (Option<Change>, Option<Digest>) {
    let was = match (known, before) {
        (Known::Digest(was), _) => was,
        (Known::Never, Before::Was(was)) => was.clone(),
        (Known::Absent, _) | (Known::Never, Before::Absent) => {
            return (Some(Change::Created), None);
        }
        (Known::Never, Before::Unknown) => return (None, None),
    };
    let change = digest.map(|is| if *is == was { Change::Unchanged } else { Change::Moved });
    (change, Some(was))
}

impl Row {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { digest: row.get(0)?, at: row.get(1)? })
    }

    fn known(&self) -> Known {
        match self.digest.as_deref().map(str::parse) {
            None => Known::Absent,
            Some(Ok(digest)) => Known::Digest(digest),
            // Somebody wrote to the database by hand. Not knowing is always true.
            Some(Err(_)) => Known::Never,
        }
    }
}

fn read(
    connection: &Connection,
    registry: &str,
    repository: &RepositoryName,
    tag: &Tag,
) -> rusqlite::Result<Option<Row>> {
    connection
        .prepare_cached(
            "SELECT digest, at FROM tags WHERE repository = ?1 AND tag = ?2 AND registry = ?3",
        )?
        .query_row(params![repository.as_str(), tag.as_str(), registry], Row::of)
        .optional()
}

fn write(
    connection: &Connection,
    event: &Event,
    tag: &Tag,
    digest: Option<&Digest>,
    sequence: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO tags (repository, tag, registry, digest, sequence, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET digest = ?4, sequence = ?5, at = ?6",
        )?
        .execute(params![
            event.repository.as_str(),
            tag.as_str(),
            event.registry,
            digest.map(Digest::as_str),
            sequence,
            millis(event.time),
        ])?;
    Ok(())
}

fn forget(connection: &Connection, event: &Event, tag: &Tag) -> rusqlite::Result<()> {
    let sql = "DELETE FROM tags WHERE repository = ?1 AND tag = ?2 AND registry = ?3";
    let key = params![event.repository.as_str(), tag.as_str(), event.registry];
    connection.prepare_cached(sql)?.execute(key)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_answers_before_a_look() {
        let digest = |of: &str| Digest::sha256(of.as_bytes());
        let (a, b, c) = (digest("a"), digest("b"), digest("c"));
        let (created, moved, same) = (Change::Created, Change::Moved, Change::Unchanged);
        for (known, before, is, expected) in [
            (Known::Never, Before::Unknown, Some(&a), (None, None)),
            (Known::Never, Before::Absent, Some(&a), (Some(created), None)),
            (Known::Never, Before::Was(a.clone()), Some(&a), (Some(same), Some(&a))),
            (Known::Never, Before::Was(b.clone()), Some(&a), (Some(moved), Some(&b))),
            (Known::Never, Before::Was(b.clone()), None, (None, Some(&b))),
            (Known::Absent, Before::Was(b.clone()), Some(&a), (Some(created), None)),
            (Known::Digest(c.clone()), Before::Was(a.clone()), Some(&a), (Some(moved), Some(&c))),
            (Known::Digest(a.clone()), Before::Absent, Some(&a), (Some(same), Some(&a))),
        ] {
            let words = format!("{known:?} {before:?} {is:?}");
            let (what, was) = change(known, &before, is);
            assert_eq!((what, was.as_ref()), expected, "{words}");
        }
    }
}
