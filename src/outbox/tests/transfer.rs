use std::io::Cursor;

use rusqlite::Connection;

use super::super::Durability;
use super::super::Intent;
use super::super::export;
use super::super::import;
use super::*;

/// Everything that a caller can see of an outbox, by table.
fn rows(directory: &Path) -> Vec<String> {
    let connection = Connection::open(directory.join("outbox/outbox.db")).unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT name, owed, dead_forgotten FROM endpoints ORDER BY name",
        "SELECT sequence, hex(id), hex(intent), key, appended_at, envelope FROM events",
        "SELECT d.event, p.name, lane, state, due_at, attempts, event_failures, ended_at, reason
         FROM deliveries d JOIN endpoints p ON p.id = d.endpoint ORDER BY 1, 2",
        "SELECT registry, repository, tag, digest, sequence, at FROM tags",
        "SELECT digest, total_size FROM manifests",
        "SELECT hex(id), opened_at, document FROM intents",
        "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..columns)
                .map(|n| format!("{:?}", row.get::<_, rusqlite::types::Value>(n).unwrap()))
                .collect();
            all.push(values.join(" "));
        }
    }
    all
}

async fn filled(directory: &Path) {
    let outbox = open(directory, &["a", "latest"]);
    for (tag, content) in [("1", "a"), ("1", "b"), ("2", "a"), ("1", "c"), ("3", "a")] {
        append(&outbox, push(tag, content)).await;
    }
    append(&outbox, delete(Some("3"), None)).await;
    let claims = outbox.claim("a", now(), 2).await.unwrap();
    ack(&outbox, &claims[0]).await;
    let later = outcome(&claims[1], Class::Endpoint, Next::Due(now()));
    outbox.record(later).await.unwrap();
    let event = push("4", "x").events.remove(0);
    let intent = Intent { id: IntentId::now(), event, tags: Vec::new() };
    outbox.intend(intent, Durability::Synced).await.unwrap();
    outbox.close().await;
}

#[tokio::test]
async fn what_is_exported_and_imported_is_the_same_outbox() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(from.path()).await;
    let mut lines = Vec::new();
    let exported = export(&from.path().join("outbox"), &mut lines).unwrap();
    assert_eq!((exported.events, exported.intents), (6, 1));
    let imported = import(&to.path().join("outbox"), &mut Cursor::new(&lines)).unwrap();
    assert_eq!(imported, exported);
    assert_eq!(rows(to.path()), rows(from.path()));
    // And it goes on where the other one was.
    let outbox = open(to.path(), &["a", "latest"]);
    assert_eq!(sequences(&outbox.claim("a", now(), 9).await.unwrap()), [2, 3, 5]);
    assert_eq!(append(&outbox, push("5", "a")).await.event.sequence, Some(7));
    outbox.close().await;
    let error = import(&to.path().join("outbox"), &mut Cursor::new(&lines)).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_line_is_named_and_nothing_is_taken_in() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(from.path()).await;
    let mut lines = Vec::new();
    export(&from.path().join("outbox"), &mut lines).unwrap();
    let text = String::from_utf8(lines).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let last = all.len();
    let wrong = [
        (all[1..].join("\n"), 1),
        (all[..last - 1].join("\n") + "\n", last),
        ([&all[..3], &all[4..]].concat().join("\n"), last - 1),
        (text.replacen("\"repository\":\"team/app\"", "\"repository\":\"../x\"", 1), 4),
        ("not json".to_owned(), 1),
        (String::new(), 1),
    ];
    for (text, expected) in wrong {
        let error = import(&to.path().join("outbox"), &mut Cursor::new(&text)).unwrap_err();
        let Error::Line { line, why } = &error else { panic!("{error}") };
        assert_eq!(usize::try_from(*line).unwrap(), expected, "{why}");
    }
    // A kind of line, a field and a state that only a newer release knows.
    let newer = text
        .replacen("\"state\":\"acked\"", "\"state\":\"forwarded\",\"newer\":1", 1)
        .replace(&format!("{{\"end\":{{\"lines\":{}}}}}", last - 1), "")
        + &format!("{{\"newer\":1}}\n{{\"end\":{{\"lines\":{last}}}}}\n");
    let newer = newer.replace("\n\n", "\n");
    assert_eq!(import(&to.path().join("outbox"), &mut Cursor::new(&newer)).unwrap().events, 6);
    let reasons = rows(to.path()).iter().filter(|row| row.contains("forwarded")).count();
    assert_eq!(reasons, 1);
}
