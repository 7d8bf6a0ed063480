//! One append inside the writer's transaction: what an event changed, its place, whom it is owed to.

use std::collections::BTreeMap;
use std::collections::HashSet;

use rusqlite::Connection;
use rusqlite::OptionalExtension as _;
use rusqlite::params;
use time::OffsetDateTime;

use crate::event::Event;
use crate::event::EventId;
use crate::event::IntentId;
use crate::event::Origin;
use crate::event::schema::Envelope;
use crate::pairing::Report;

use super::Append;
use super::Appended;
use super::Before;
use super::Error;
use super::deliveries;
use super::endpoints::Endpoints;
use super::expiry;
use super::expiry::Which;
use super::intents;
use super::notices;
use super::notices::Witnessed;
use super::shared::Shared;
use super::tags;
use super::witnesses::Sighting;

/// What a transaction will have done once it is committed.
#[derive(Default)]
pub(super) struct Effects {
    /// The last sequence given.
    pub(super) sequence: i64,
    /// The events it added.
    pub(super) added: HashSet<EventId>,
    /// How many events were there already.
    pub(super) repeats: u64,
    /// How many outcomes it recorded.
    pub(super) outcomes: u64,
    /// What it did to each endpoint, by row.
    pub(super) owed: BTreeMap<i64, Owed>,
    /// The claims that end with it: endpoint and event.
    pub(super) released: Vec<(i64, i64)>,
    /// How many notifications wait since it.
    pub(super) held: u64,
    /// The claims that it made itself; they end with it in any case.
    pub(super) taken: Vec<(i64, i64)>,
    /// The deliveries whose place a newer event took.
    pub(super) replaced: Vec<Replaced>,
    /// How many became dead letters for their age or number, by endpoint.
    pub(super) expired: BTreeMap<i64, u64>,
    /// How many dead letters are a number only from now on, by endpoint.
    pub(super) dead_forgotten: BTreeMap<i64, u64>,
    /// How many events were removed.
    pub(super) forgotten: u64,
    /// How many of them because there was no room.
    pub(super) given_up: GivenUp,
}

/// What was given up because there was no room, in events.
#[derive(Default)]
pub(super) struct GivenUp {
    pub(super) history: u64,
    pub(super) dead: u64,
    pub(super) owed: u64,
}

/// A delivery whose place a newer event took.
pub(super) struct Replaced {
    pub(super) endpoint: i64,
    pub(super) event: i64,
    pub(super) by: i64,
}

/// What a transaction did to one endpoint.
#[derive(Default)]
pub(super) struct Owed {
    /// By how much the number of outstanding deliveries changes.
    pub(super) change: i64,
    /// How many can newly be claimed, or soon.
    pub(super) claimable: u64,
    /// How many are outstanding at the end of the transaction.
    pub(super) outstanding: i64,
}

impl Effects {
    /// Writes down how many are owed to each endpoint now.
    pub(super) fn apply_owed(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for (id, owed) in &mut self.owed {
            let sql = "UPDATE endpoints SET owed = owed + ?2 WHERE id = ?1 RETURNING owed";
            let mut statement = connection.prepare_cached(sql)?;
            owed.outstanding = statement.query_row(params![id, owed.change], |row| row.get(0))?;
            owed.change = 0;
        }
        Ok(())
    }

    /// Ends the oldest of what is owed beyond the bound.
    pub(super) fn keep_bound(
        &mut self,
        connection: &Connection,
        shared: &Shared,
        now: i64,
    ) -> rusqlite::Result<()> {
        let bound = i64::try_from(shared.bounds.max_owed).unwrap_or(i64::MAX);
        let beyond = |(id, owed): (&i64, &Owed)| {
            usize::try_from(owed.outstanding - bound).ok().filter(|n| *n > 0).map(|n| (*id, n))
        };
        let beyond: Vec<(i64, usize)> = self.owed.iter().filter_map(beyond).collect();
        for (id, number) in &beyond {
            let most = (*number).min(ENDED_AT_ONCE);
            expiry::expire(connection, &shared.claims, *id, Which::Any, most, now, self)?;
        }
        if beyond.is_empty() { Ok(()) } else { self.apply_owed(connection) }
    }
}

/// The most deliveries of an endpoint that one transaction ends: more than it can add.
const ENDED_AT_ONCE: usize = 1024;

/// A transaction of the writer that may append.
pub(super) struct Appending<'a> {
    pub(super) connection: &'a Connection,
    pub(super) shared: &'a Shared,
    pub(super) now: i64,
    /// The events that an earlier, failed try of the same transaction added: should its commit have reached the disk
    /// all the same, they are new to the caller.
    pub(super) earlier: &'a mut HashSet<EventId>,
    pub(super) effects: &'a mut Effects,
}

impl Appending<'_> {
    /// Adds the events of an append in the place of its intent.
    pub(super) fn append(
        &mut self,
        append: &Append,
    ) -> rusqlite::Result<Result<Vec<Appended>, Error>> {
        // A look speaks of one tag. Where an append is about several, nobody can say which.
        let first = append.events.iter().find_map(|event| event.tag.as_ref());
        let one_tag = append.events.iter().all(|e| e.tag.is_none() || e.tag.as_ref() == first);
        let before = if one_tag { &append.before } else { &Before::Unknown };
        let mut appended = Vec::with_capacity(append.events.len());
        for event in &append.events {
            if let Some(there) = self.there(event.id)? {
                match there {
                    Ok(there) => appended.push(there),
                    Err(error) => return Ok(Err(error)),
                }
                continue;
            }
            let event = event.clone();
            match self.observed(append.intent, event, before)? {
                Ok(added) => appended.push(added),
                Err(error) => return Ok(Err(error)),
            }
        }
        if self.shared.pairing.is_some() {
            self.link_rest(append.intent, &appended)?;
        }
        intents::fulfil(self.connection, append.intent)?;
        Ok(Ok(appended))
    }

    /// What is stored under this id, if anything is.
    fn there(&mut self, id: EventId) -> rusqlite::Result<Option<Result<Appended, Error>>> {
        let Some((sequence, envelope)) = stored(self.connection, id)? else {
            return Ok(None);
        };
        let event = match read_event(sequence, &envelope) {
            Ok(event) => event,
            Err(error) => return Ok(Some(Err(error))),
        };
        let endpoints = &self.shared.endpoints;
        let new = self.earlier.remove(&id);
        let owed_to = owed_to(self.connection, endpoints, sequence)?;
        if new {
            self.effects.added.insert(id);
            for endpoint in owed_to.iter().filter_map(|name| endpoints.named(name)) {
                self.effects.owed.entry(endpoint.id).or_default().claimable += 1;
            }
        } else {
            self.effects.repeats += 1;
        }
        Ok(Some(Ok(Appended { event, owed_to, new })))
    }

    /// Adds an event that we saw ourselves, unless somebody told of it before.
    fn observed(
        &mut self,
        intent: IntentId,
        mut event: Event,
        before: &Before,
    ) -> rusqlite::Result<Result<Appended, Error>> {
        let Some(rules) = self.shared.pairing else {
            return self.add(intent, event, before).map(Ok);
        };
        if event.origin != Origin::Proxy {
            let sighting = Sighting::of_hearsay(&event, self.now);
            let added = self.add(intent, event, before)?;
            sighting.write(self.connection, self.effects.sequence)?;
            return Ok(Ok(added));
        }
        let sighting = Sighting::of_exchange(&event, self.now);
        match notices::meet(self.connection, &rules, intent, &mut event, &sighting)? {
            Witnessed::Same(sequence) => match self.stored_at(sequence)? {
                Some(same) => Ok(same),
                None => self.add(intent, event, before).map(Ok),
            },
            Witnessed::By(reports) => {
                let added = self.add(intent, event, before)?;
                let sequence = self.effects.sequence;
                sighting.write(self.connection, sequence)?;
                notices::link_to(self.connection, reports, sequence)?;
                Ok(Ok(added))
            }
        }
    }

    /// Adds an event that somebody told of, and links what was told to it.
    pub(super) fn told(
        &mut self,
        source: &str,
        report: Report,
        mut event: Event,
    ) -> rusqlite::Result<Result<Appended, Error>> {
        if let Some(there) = self.there(event.id)? {
            return Ok(there);
        }
        event.superseded = event.late && notices::is_superseded(self.connection, &event)?;
        // The exchange was somebody else's; its id is as good as the event's.
        let intent = IntentId::from_bytes(*event.id.as_bytes());
        let sighting = Sighting::of_hearsay(&event, report.received);
        let added = self.add(intent, event, &Before::Unknown)?;
        let sequence = self.effects.sequence;
        sighting.write(self.connection, sequence)?;
        notices::write_link(self.connection, source, report, sequence)?;
        Ok(Ok(added))
    }

    /// Whatever else was told of the exchange is about its first event.
    fn link_rest(&self, intent: IntentId, appended: &[Appended]) -> rusqlite::Result<()> {
        let first = appended.iter().find_map(|appended| appended.event.sequence);
        match first.and_then(|sequence| i64::try_from(sequence).ok()) {
            Some(first) => {
                let rest = notices::linked(self.connection, intent)?;
                notices::link_to(self.connection, rest, first)
            }
            None => Ok(()),
        }
    }

    fn stored_at(&mut self, sequence: i64) -> rusqlite::Result<Option<Result<Appended, Error>>> {
        let sql = "SELECT id FROM events WHERE sequence = ?1";
        let id = self
            .connection
            .prepare_cached(sql)?
            .query_row([sequence], |row| row.get(0).map(EventId::from_bytes))
            .optional()?;
        match id {
            Some(id) => self.there(id),
            None => Ok(None),
        }
    }

    fn add(
        &mut self,
        intent: IntentId,
        mut event: Event,
        before: &Before,
    ) -> rusqlite::Result<Appended> {
        let (connection, effects) = (self.connection, &mut *self.effects);
        effects.sequence += 1;
        let sequence = effects.sequence;
        event.sequence = u64::try_from(sequence).ok();
        // As it will be read back, so that the first answer and every later one are the same.
        event.time = as_stored(event.time);
        event.started_at = event.started_at.map(as_stored);
        event.answered_at = event.answered_at.map(as_stored);
        tags::apply(connection, &mut event, before, sequence)?;
        if event.total_size.is_none() {
            event.total_size = tags::total_size(connection, &event)?;
        }
        tags::remember_size(connection, &event)?;
        connection
            .prepare_cached(
                "INSERT INTO events (sequence, id, intent, key, appended_at, envelope)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                sequence,
                event.id.as_bytes(),
                intent.as_bytes(),
                event.key().as_str(),
                self.now,
                Envelope::of(&event).to_json(),
            ])?;
        let mut owed_to = Vec::new();
        for endpoint in self.shared.endpoints.wanting(&event) {
            if endpoint.latest_only {
                let claims = &self.shared.claims;
                deliveries::replace(connection, claims, endpoint, &event, sequence, effects)?;
            }
            deliveries::owe(connection, endpoint, &event, sequence, self.now)?;
            let owed = effects.owed.entry(endpoint.id).or_default();
            owed.change += 1;
            owed.claimable += 1;
            owed_to.push(endpoint.name.clone());
        }
        effects.added.insert(event.id);
        Ok(Appended { event, owed_to, new: true })
    }
}

fn as_stored(time: OffsetDateTime) -> OffsetDateTime {
    deliveries::at(deliveries::millis(time))
}

/// Reads a stored event back.
pub(super) fn read_event(sequence: i64, envelope: &str) -> Result<Event, Error> {
    let sequence = u64::try_from(sequence).unwrap_or_default();
    Envelope::read(envelope).map_err(|source| Error::Unreadable { sequence, source })
}

fn stored(connection: &Connection, id: EventId) -> rusqlite::Result<Option<(i64, String)>> {
    connection
        .prepare_cached("SELECT sequence, envelope FROM events WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn owed_to(
    connection: &Connection,
    endpoints: &Endpoints,
    sequence: i64,
) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT endpoint FROM deliveries WHERE event = ?1 ORDER BY endpoint";
    let mut statement = connection.prepare_cached(sql)?;
    let mut names = Vec::new();
    for id in statement.query_map([sequence], |row| row.get::<_, i64>(0))? {
        names.extend(endpoints.with_id(id?).map(|endpoint| endpoint.name.clone()));
    }
    Ok(names)
}
