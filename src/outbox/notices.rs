//! Notifications on the disk: kept before their sender is answered, paired with what we saw ourselves, and made
//! events where nothing fits (delivery-guarantees 4). What belongs together is decided in [`crate::pairing`];
//! here is the doing, in the writer's transaction.

use std::sync::atomic::Ordering;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::Rows;
use rusqlite::params;
use time::OffsetDateTime;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::IntentId;
use crate::event::schema::Envelope;
use crate::pairing;
use crate::pairing::Decision;
use crate::pairing::Fact;
use crate::pairing::Met;
use crate::pairing::Mode;
use crate::pairing::Observed;
use crate::pairing::Patience;
use crate::pairing::Report;
use crate::pairing::Rules;
use crate::pairing::Subject;
use crate::pairing::Told;
use crate::registry::Digest;

use super::Appended;
use super::append::Appending;
use super::deliveries::at;
use super::deliveries::millis;
use super::shared::Shared;
use super::witnesses::PROXY;
use super::witnesses::Sighting;
use super::witnesses::Witnesses;

/// What somebody told of one thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who told it: the name of a source.
    pub source: String,
    /// The event as it would be. Its id is the same for the same report, however often it comes.
    pub event: Event,
    /// When it arrived.
    pub received: OffsetDateTime,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// It was here before.
    Repeated,
    /// It speaks of what we saw ourselves.
    Linked,
    /// It waits for what it may speak of.
    Held,
    /// It is an event.
    Appended(Box<Appended>),
    /// It speaks of nothing we saw, and is evidence only; or nobody asked for such events.
    Dropped,
}

/// A notification that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place among all notifications; whatever comes to wait later has a larger one.
    pub number: i64,
    /// Who told it.
    pub source: String,
    /// The id of the event that it would be.
    pub id: EventId,
    /// When it becomes an event, whatever a look says.
    pub due_at: OffsetDateTime,
    /// The event that it would be; nothing, where it cannot be read.
    pub event: Option<Box<Event>>,
}

/// What a look at the tag says of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// Nobody looked, or nobody can say.
    Unknown,
    /// There is nothing.
    Absent,
    /// It names this.
    Digest(Digest),
}

/// A notification that is authentic and cannot be used (rule I4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its place among them; later ones have larger ones.
    pub number: u64,
    /// Who told it.
    pub source: String,
    /// When it arrived.
    pub received: OffsetDateTime,
    /// Why it cannot be used.
    pub reason: String,
    /// What it was, cut at [`QUARANTINED_BYTES`].
    pub bytes: Vec<u8>,
}

/// The most bytes of a notification in quarantine.
pub const QUARANTINED_BYTES: usize = 64 << 10;

/// The most notifications in quarantine; the oldest make room.
const QUARANTINED: i64 = 1000;

/// The most characters of a reason.
const REASON: usize = 500;

/// The most notifications that wait; beyond it they are events at once.
const HELD: i64 = 100_000;

/// How often they are counted: every so many.
const COUNTED: i64 = 1024;

/// Takes a notification up.
pub(super) fn note(appending: &mut Appending<'_>, notice: &Notice) -> rusqlite::Result<Noted> {
    let connection = appending.connection;
    let told = told(notice);
    if matches!(notice.event.action, Action::Pull | Action::Mount)
        && appending.shared.endpoints.wanting(&notice.event).next().is_none()
    {
        return Ok(Noted::Dropped);
    }
    // No exchange of ours is a pull. Mounts are seen where somebody asks for them.
    if notice.event.action == Action::Pull {
        return event(appending, &told, notice.event.clone());
    }
    let (now, rules) = (appending.now, rules(appending));
    let mut witnesses = Witnesses { connection, rules: &rules };
    let patience = Patience::Fresh;
    let mut decision = pairing::told(&mut witnesses, &rules, &told, now, patience)?;
    if matches!(decision, Decision::Hold { .. }) && is_crowded(connection)? {
        decision = match rules.mode {
            Mode::Evidence => Decision::Drop,
            Mode::Events => Decision::Append { late: false },
        };
    }
    match decision {
        Decision::Repeated => Ok(Noted::Repeated),
        Decision::Drop => Ok(Noted::Dropped),
        Decision::Link(links) => {
            for (report, fact) in links {
                link(connection, &told.source, report, fact, Some(notice))?;
            }
            Ok(Noted::Linked)
        }
        Decision::Hold { until } => {
            hold(connection, notice, "held", until, None)?;
            let number = next_number(connection, appending.shared)?;
            connection
                .prepare_cached(
                    "UPDATE notifications SET number = ?3 WHERE source = ?1 AND source_id = ?2",
                )?
                .execute(params![notice.source, notice.event.id.to_string(), number])?;
            appending.effects.held += 1;
            Ok(Noted::Held)
        }
        Decision::Append { late } => {
            event(appending, &told, Event { late, ..notice.event.clone() })
        }
    }
}

/// Lets a notification go that waited: it is linked now, or an event, or nothing.
pub(super) fn release(
    appending: &mut Appending<'_>,
    source: &str,
    id: EventId,
    looked: &Looked,
) -> rusqlite::Result<Noted> {
    let connection = appending.connection;
    let Some(waiting) = waiting(connection, source, id)? else {
        return Ok(Noted::Repeated);
    };
    let mut notice = match waiting {
        Ok(notice) => notice,
        Err(reason) => {
            let sql = "UPDATE notifications SET state = 'quarantined', reason = ?3
                       WHERE source = ?1 AND source_id = ?2";
            let key = params![source, id.to_string(), reason];
            connection.prepare_cached(sql)?.execute(key)?;
            return Ok(Noted::Dropped);
        }
    };
    if let Looked::Digest(found) = looked
        && notice.event.action == Action::Push
    {
        match &notice.event.digest {
            None => notice.event.digest = Some(found.clone()),
            Some(digest) if digest != found => {
                notice.event.current_digest = Some(found.clone());
            }
            Some(_) => {}
        }
    }
    let told = told(&notice);
    let (now, rules) = (appending.now, rules(appending));
    let mut witnesses = Witnesses { connection, rules: &rules };
    let decision = pairing::told(&mut witnesses, &rules, &told, now, Patience::Over)?;
    match decision {
        Decision::Link(links) => {
            for (report, fact) in links {
                link(connection, source, report, fact, None)?;
            }
            Ok(Noted::Linked)
        }
        Decision::Append { late } => {
            forget(connection, source, id)?;
            notice.event.late = late;
            event(appending, &told, notice.event)
        }
        // It has waited: there is nothing else it could be.
        Decision::Drop | Decision::Repeated | Decision::Hold { .. } => {
            forget(connection, source, id)?;
            Ok(Noted::Dropped)
        }
    }
}

/// Keeps what cannot be used.
pub(super) fn quarantine(
    connection: &Connection,
    quarantined: &Quarantined,
) -> rusqlite::Result<()> {
    let bytes = quarantined.bytes.get(..QUARANTINED_BYTES).unwrap_or(&quarantined.bytes);
    let reason: String = quarantined.reason.chars().take(REASON).collect();
    let received = millis(quarantined.received);
    // The same again is the same: senders repeat themselves.
    let id = Digest::sha256(&quarantined.bytes).to_string();
    connection
        .prepare_cached(
            "INSERT INTO notifications
                 (source, source_id, received_at, stamp, state, due_at, reason, document)
             VALUES (?1, ?2, ?3, ?3, 'quarantined', ?3, ?4, ?5)
             ON CONFLICT (source, source_id) DO NOTHING",
        )?
        .execute(params![quarantined.source, id, received, reason, bytes])?;
    connection
        .prepare_cached(
            "DELETE FROM notifications WHERE state = 'quarantined' AND number <=
                 (SELECT number FROM notifications WHERE state = 'quarantined'
                  ORDER BY number DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([QUARANTINED])?;
    Ok(())
}

/// What is in quarantine, the latest first; before a number where one is said.
pub(super) fn quarantined(
    connection: &Connection,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Quarantined>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, source, received_at, reason, document FROM notifications
         WHERE state = 'quarantined' AND number < ?2 ORDER BY number DESC LIMIT ?1",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
    statement
        .query_map([limit, before], |row| {
            Ok(Quarantined {
                number: row.get::<_, i64>(0)?.unsigned_abs(),
                source: row.get(1)?,
                received: at(row.get(2)?),
                reason: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                bytes: row.get(4)?,
            })
        })?
        .collect()
}

/// Takes one out of quarantine, because it could be used after all.
pub(super) fn discharge(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM notifications WHERE number = ?1 AND state = 'quarantined'";
    connection.prepare_cached(sql)?.execute([i64::try_from(number).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The notifications that wait and came after this number, in the order they came.
pub(super) fn held(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Waiting>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, source, source_id, due_at, document FROM notifications
         WHERE state = 'held' AND number > ?1 ORDER BY number LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query([after, limit])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        let document = String::from_utf8_lossy(row.get_ref(4)?.as_bytes()?);
        if let Ok(id) = row.get::<_, String>(2)?.parse() {
            held.push(Waiting {
                number: row.get(0)?,
                source: row.get(1)?,
                id,
                due_at: at(row.get(3)?),
                event: Envelope::read(&document).ok().map(Box::new),
            });
        }
    }
    Ok(held)
}

/// Who has told of an open intent.
pub(super) fn witnesses_of(
    connection: &Connection,
    intent: IntentId,
) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT source FROM notifications WHERE intent = ?1 ORDER BY number")?
        .query_map([intent.as_bytes()], |row| row.get(0))?
        .collect()
}

/// Gives back what was linked to an intent that came to nothing: it spoke of something else. Says how many.
pub(super) fn give_back(
    connection: &Connection,
    shared: &Shared,
    intent: IntentId,
    due_at: i64,
) -> rusqlite::Result<u64> {
    let numbers: Vec<i64> = connection
        .prepare_cached("SELECT number FROM notifications WHERE intent = ?1 ORDER BY number")?
        .query_map([intent.as_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for number in &numbers {
        // It comes to wait now, and so it is the last in their order.
        connection
            .prepare_cached(
                "UPDATE notifications SET state = 'held', intent = NULL, due_at = ?2,
                        number = ?3
                 WHERE number = ?1",
            )?
            .execute([*number, due_at, next_number(connection, shared)?])?;
    }
    Ok(u64::try_from(numbers.len()).unwrap_or_default())
}

/// A number that nothing that waits has had in this run: whoever reads them goes on from the largest, and the numbers
/// of those that are gone would be given again.
fn next_number(connection: &Connection, shared: &Shared) -> rusqlite::Result<i64> {
    let there: i64 = connection
        .prepare_cached("SELECT coalesce(max(number), 0) FROM notifications")?
        .query_row([], |row| row.get(0))?;
    let next = there.max(shared.last_held.load(Ordering::Relaxed)).saturating_add(1);
    shared.last_held.store(next, Ordering::Relaxed);
    Ok(next)
}

/// Gives back what an earlier run linked to intents that are gone.
pub(super) fn give_back_orphans(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE notifications SET state = 'held', intent = NULL
         WHERE intent IS NOT NULL AND intent NOT IN (SELECT id FROM intents)",
        [],
    )?;
    Ok(())
}

/// What notifications say of an event of an exchange, before it is appended.
pub(super) enum Witnessed {
    /// These speak of it.
    By(Vec<(String, Report)>),
    /// It is this event, which somebody told of before.
    Same(i64),
}

/// M5 and M6: what is known of the exchange already. The event gets what is new of it.
pub(super) fn meet(
    connection: &Connection,
    rules: &Rules,
    intent: IntentId,
    event: &mut Event,
    sighting: &Sighting,
) -> rusqlite::Result<Witnessed> {
    // Appended again after a failed commit, it is the same as before.
    let before = connection
        .prepare_cached("SELECT event FROM links WHERE source = ?1 AND source_id = ?2")?
        .query_row(params![PROXY, event.id.to_string()], |row| row.get(0))
        .optional()?;
    if let Some(same) = before {
        return Ok(Witnessed::Same(same));
    }
    let linked = linked_to(connection, intent, sighting.subject)?;
    let sources: Vec<String> = linked.iter().map(|(source, _)| source.clone()).collect();
    let observed =
        Observed { subject: sighting.subject, began: sighting.began, ended: sighting.ended };
    let mut witnesses = Witnesses { connection, rules };
    let held = match pairing::observed(&mut witnesses, rules, &observed, &sources)? {
        Met::Same(same) => {
            let report = Report { id: event.id, at: sighting.began, received: sighting.ended };
            write_link(connection, PROXY, report, same)?;
            return Ok(Witnessed::Same(same));
        }
        Met::Event(held) => held,
    };
    let mut by = linked;
    by.extend(held.into_iter().map(|held| (held.source, held.report)));
    for (source, report) in &by {
        if let Some(Ok(notice)) = row(connection, source, report.id)? {
            enrich(event, notice);
        }
    }
    Ok(Witnessed::By(by))
}

/// Links what speaks of an event to it, now that it has a place.
pub(super) fn link_to(
    connection: &Connection,
    by: Vec<(String, Report)>,
    event: i64,
) -> rusqlite::Result<()> {
    for (source, report) in by {
        link(connection, &source, report, Fact::Event(event), None)?;
    }
    Ok(())
}

/// Whether something newer is known of the event's tag.
pub(super) fn is_superseded(connection: &Connection, event: &Event) -> rusqlite::Result<bool> {
    let Some(tag) = &event.tag else {
        return Ok(false);
    };
    let newer = connection
        .prepare_cached("SELECT at FROM tags WHERE repository = ?1 AND tag = ?2 AND registry = ?3")?
        .query_row(params![event.repository.as_str(), tag.as_str(), event.registry], |row| {
            row.get::<_, i64>(0)
        })
        .optional()?;
    Ok(newer.is_some_and(|newer| newer > millis(event.time)))
}

/// Makes an event of what was told.
fn event(appending: &mut Appending<'_>, told: &Told, event: Event) -> rusqlite::Result<Noted> {
    let report = Report { id: told.id, at: told.at, received: told.received };
    Ok(match appending.told(&told.source, report, event)? {
        Ok(appended) if appended.new => Noted::Appended(Box::new(appended)),
        // It is there; that it cannot be read back is said where it is claimed.
        Ok(_) | Err(_) => Noted::Repeated,
    })
}

/// What waited when the last source left the configuration is let go by the usual rules.
fn rules(appending: &Appending<'_>) -> Rules {
    appending.shared.pairing.unwrap_or_default()
}

/// What pairing needs to know of a notification.
fn told(notice: &Notice) -> Told {
    Told {
        source: notice.source.clone(),
        id: notice.event.id,
        subject: Subject::of(&notice.event),
        at: millis(notice.event.time),
        received: millis(notice.received),
    }
}

/// All that is linked to an intent.
pub(super) fn linked(
    connection: &Connection,
    intent: IntentId,
) -> rusqlite::Result<Vec<(String, Report)>> {
    let mut statement = connection.prepare_cached(
        "SELECT source, source_id, stamp, received_at FROM notifications
         WHERE intent = ?1 ORDER BY number",
    )?;
    reports(statement.query(params![intent.as_bytes()])?)
}

/// The notifications linked to an intent that are about this subject, or about the intent as a whole.
fn linked_to(
    connection: &Connection,
    intent: IntentId,
    subject: Subject,
) -> rusqlite::Result<Vec<(String, Report)>> {
    let mut statement = connection.prepare_cached(
        "SELECT source, source_id, stamp, received_at FROM notifications
         WHERE intent = ?1 AND (name = ?2 OR name = exchange OR ?2 = ?3) ORDER BY number",
    )?;
    reports(statement.query(params![intent.as_bytes(), subject.name, subject.exchange])?)
}

fn reports(mut rows: Rows<'_>) -> rusqlite::Result<Vec<(String, Report)>> {
    let mut reports = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(id) = row.get::<_, String>(1)?.parse() {
            reports.push((row.get(0)?, Report { id, at: row.get(2)?, received: row.get(3)? }));
        }
    }
    Ok(reports)
}

/// Links a report to a fact, in the place of what it was linked to. `fresh` is the notification itself, where it
/// is not on the disk yet.
fn link(
    connection: &Connection,
    source: &str,
    report: Report,
    fact: Fact,
    fresh: Option<&Notice>,
) -> rusqlite::Result<()> {
    let fresh = fresh.filter(|notice| notice.event.id == report.id);
    match fact {
        Fact::Event(event) => {
            forget(connection, source, report.id)?;
            write_link(connection, source, report, event)
        }
        Fact::Intent(intent) => match fresh {
            Some(notice) => hold(connection, notice, "linked", report.received, Some(intent)),
            None => {
                connection
                    .prepare_cached(
                        "UPDATE notifications SET state = 'linked', intent = ?3
                         WHERE source = ?1 AND source_id = ?2",
                    )?
                    .execute(params![source, report.id.to_string(), intent.as_bytes()])?;
                Ok(())
            }
        },
    }
}

pub(super) fn write_link(
    connection: &Connection,
    source: &str,
    report: Report,
    event: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO links (source, source_id, event, stamp, received_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET event = ?3",
        )?
        .execute(params![source, report.id.to_string(), event, report.at, report.received])?;
    Ok(())
}

fn hold(
    connection: &Connection,
    notice: &Notice,
    state: &str,
    due_at: i64,
    intent: Option<IntentId>,
) -> rusqlite::Result<()> {
    let subject = Subject::of(&notice.event);
    connection
        .prepare_cached(
            "INSERT INTO notifications (source, source_id, received_at, stamp, state, due_at, intent,
                                        name, content, exchange, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (source, source_id) DO NOTHING",
        )?
        .execute(params![
            notice.source,
            notice.event.id.to_string(),
            millis(notice.received),
            millis(notice.event.time),
            state,
            due_at,
            intent.as_ref().map(|intent| intent.as_bytes().as_slice()),
            subject.name,
            subject.content,
            subject.exchange,
            Envelope::of(&notice.event).to_json().as_bytes(),
        ])?;
    Ok(())
}

fn forget(connection: &Connection, source: &str, id: EventId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM notifications WHERE source = ?1 AND source_id = ?2";
    connection.prepare_cached(sql)?.execute(params![source, id.to_string()])?;
    Ok(())
}

/// A notification that waits, or why it cannot be read.
fn waiting(
    connection: &Connection,
    source: &str,
    id: EventId,
) -> rusqlite::Result<Option<Result<Notice, String>>> {
    let sql = "SELECT state FROM notifications WHERE source = ?1 AND source_id = ?2";
    let state = connection
        .prepare_cached(sql)?
        .query_row(params![source, id.to_string()], |row| row.get::<_, String>(0))
        .optional()?;
    if state.as_deref() == Some("held") { row(connection, source, id) } else { Ok(None) }
}

fn row(
    connection: &Connection,
    source: &str,
    id: EventId,
) -> rusqlite::Result<Option<Result<Notice, String>>> {
    connection
        .prepare_cached(
            "SELECT received_at, document FROM notifications
             WHERE source = ?1 AND source_id = ?2 AND state <> 'quarantined'",
        )?
        .query_row(params![source, id.to_string()], |row| {
            let received = at(row.get(0)?);
            let document = row.get_ref(1)?.as_bytes()?;
            let event = Envelope::read(&String::from_utf8_lossy(document));
            let read = event.map(|event| Notice { source: source.to_owned(), event, received });
            Ok(read.map_err(|error| error.to_string()))
        })
        .optional()
}

/// What the notification knows and we do not.
fn enrich(event: &mut Event, notice: Notice) {
    if !event.seen_by.contains(&notice.source) {
        event.seen_by.push(notice.source);
    }
    let told = notice.event;
    event.actor.name = event.actor.name.take().or(told.actor.name);
    let (request, told) = (&mut event.request, told.request);
    request.id = request.id.take().or(told.id);
    request.address = request.address.take().or(told.address);
    request.user_agent = request.user_agent.take().or(told.user_agent);
}

/// Whether so many wait that no more can. They are not counted each time.
fn is_crowded(connection: &Connection) -> rusqlite::Result<bool> {
    let last = "SELECT coalesce(max(number), 0) FROM notifications";
    let last: i64 = connection.prepare_cached(last)?.query_row([], |row| row.get(0))?;
    if last % COUNTED != 0 {
        return Ok(false);
    }
    let beyond = "SELECT 1 FROM notifications INDEXED BY notifications_due
                  WHERE state = 'held' LIMIT 1 OFFSET ?1";
    let beyond = connection.prepare_cached(beyond)?.query_row([HELD], |_| Ok(())).optional()?;
    Ok(beyond.is_some())
}
