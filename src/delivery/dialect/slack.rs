//! A sentence for a chat: Slack's incoming webhook, which Mattermost, Rocket.Chat and Discord (`…/slack`) read too.
//!
//! ```text
//! Content-Type: application/json
//! {"text":"`<registry>/<repository>:1.4.2` was pushed by ci (moved, sha256:…)"}
//! ```
//!
//! - Every event can be said in a sentence, so nothing is refused.
//! - `&`, `<` and `>` are escaped as Slack wants it (`&amp;`, `&lt;`, `&gt;`): the name of a user is the user's own choice,
//!   and `<!channel>` would wake everybody.
//! - A user's name is cut after 80 characters.
//!
//! Source: Slack's pages *Sending messages using incoming webhooks* and *Formatting text for app surfaces*, as
//! commonly known; the others' compatibility has not been tried.

use serde::Serialize;

use crate::event::Action;
use crate::event::Change;
use crate::event::Event;

use super::Payload;
use super::image;

/// The most characters of a user's name.
const NAME: usize = 80;

#[derive(Serialize)]
struct Body {
    text: String,
}

/// Writes the body.
pub(super) fn write(event: &Event) -> Payload {
    let mut name = image(event);
    if let Some(tag) = &event.tag {
        name.push_str(&format!(":{tag}"));
    }
    let done = match event.action {
        Action::Push => "pushed",
        Action::Delete => "deleted",
        Action::Mount => "mounted",
        Action::Pull => "pulled",
    };
    let mut text = format!("`{}` was {done}", escaped(&name));
    if let Some(actor) = &event.actor.name {
        let actor: String = actor.chars().filter(|c| !c.is_control()).take(NAME).collect();
        text.push_str(&format!(" by {}", escaped(&actor)));
    }
    let change = event.change.map(Change::as_str).map(ToOwned::to_owned);
    let known: Vec<String> =
        change.into_iter().chain(event.digest.as_ref().map(ToString::to_string)).collect();
    if !known.is_empty() {
        text.push_str(&format!(" ({})", known.join(", ")));
    }
    Payload::json("application/json", &Body { text })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use crate::event::Actor;

    use super::super::Dialect;
    use super::super::tests::bare;
    use super::super::tests::deleted;
    use super::super::tests::fixture;
    use super::super::tests::golden;
    use super::super::tests::pushed;
    use super::super::tests::read;
    use super::*;

    #[test]
    fn golden_bodies() {
        golden(Dialect::Slack, &pushed(), fixture!("slack-push"));
        golden(Dialect::Slack, &bare(), fixture!("slack-bare"));
        golden(Dialect::Slack, &deleted(), fixture!("slack-delete"));
    }

    #[test]
    fn a_name_cannot_call_the_whole_channel() {
        let actor = Actor { name: Some(format!("<!channel>&\n{}", "x".repeat(200))) };
        let text = read(Dialect::Slack, &Event { actor, ..pushed() })["text"].to_string();
        assert!(text.contains("by &lt;!channel&gt;&amp;xxx"), "{text}");
        assert!(!text.contains('<') && text.len() < 400, "{text}");
    }
}
